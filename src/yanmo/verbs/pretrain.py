"""pretrain: plain texts to the Bundle of a model that has learned to read; it fills in defaults and publishes."""

import logging
import shutil
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import Bundle, publish_bundle
from yanmo.artifacts.card import render_encoder_card, write_cards
from yanmo.artifacts.effects import NO_EFFECTS, Effects, Watcher
from yanmo.artifacts.identity import folder_digest, stage_key
from yanmo.artifacts.placing import MANIFEST
from yanmo.data.corpora import PlainTexts, open_texts
from yanmo.data.read import ReadOptions
from yanmo.errors import ConfigError, check_installed
from yanmo.family_settings import FAMILY_DEFAULTS
from yanmo.integrations.tracking import TrackedConfig, tracked
from yanmo.machine import worker_rank
from yanmo.measuring.inputs import write_answers
from yanmo.modeling.settings import LoopSettings, ReadingSettings, Trained
from yanmo.models import CLASSIFYING_DECODERS, ENCODER_DECODER_FAMILIES, ENCODER_FAMILIES, ModelSpec, resolve
from yanmo.runtimes.predictor import default_num_threads
from yanmo.tasks import READING, only_reads
from yanmo.text.inputs import Inputs
from yanmo.training.starting_model import check_segmenter
from yanmo.training.train_config import ComputeKeys, check_compiler
from yanmo.training.work_folder import working
from yanmo.verbs.signature import verb

__all__ = ["PretrainConfig", "check_encoder", "pretrain"]

logger = logging.getLogger(__name__)

SPANS_RATE = 1e-2
"""The default for spans, whose steps are in proportion to the size of each weight."""
NUM_EXAMPLES, EXAMPLE_CHARACTERS = 8, 80
NEVER = 2**31
"""Pre-training does not stop early: its loss is still falling when its time is up."""


class PretrainConfig(ReadOptions, TrackedConfig, ComputeKeys):
    """Which encoder, what it learns from the texts, and for how long."""

    text: str = "text"
    """Column of the texts in a CSV, TSV, JSONL or Parquet file; a .txt file has a document a line."""

    model: str = "bert-4x312"
    """bert, roberta, albert or electra with layers x width, from scratch, for spans t5, and for clm gpt2 or gpt; or a
    folder or hub id to go on from, with its own tokenizer."""

    objective: Literal["mlm", "rtd", "spans", "clm"] = "mlm"
    """mlm: guess hidden tokens, as BERT does; rtd: find the tokens that a small generator has replaced, as ELECTRA
    does; spans: write the spans that were cut out, as T5 does (Raffel et al. 2020, arXiv:1910.10683, section 3.1); clm:
    guess the next token, as GPT does (Radford et al. 2018, section 3.1)."""

    max_length: int = Field(default=128, ge=8)
    """Most tokens of a row, special tokens included; longer documents go on in the next row."""

    packing: Literal["documents", "rows"] = "documents"
    """documents: a row has one document, and batches have rows of like length; rows: short documents follow each other
    in full rows."""

    vocab_size: int = Field(default=8000, ge=16)
    """Most entries of the vocabulary that is trained from the texts."""

    mask_ratio: float = Field(default=0.15, ge=0.05, le=0.5)
    """Share of the words that are hidden, or of the tokens that are cut out in spans."""

    mask_style: Literal["mixed", "plain"] = "mixed"
    """mixed: of the hidden tokens 10 % stay as they are and 10 % become random ones; plain: all are replaced by the
    mask token."""

    whole_words: bool = True
    """Hide all tokens of a word together; Chinese words are those of the segmenter."""

    learning_rate: float = Field(default=5e-4, gt=0)
    """Peak of the schedule: it rises linearly, then falls linearly to zero; by default 0.01 for spans, of which each
    weight moves in proportion to its size, and for clm from scratch that of the family."""

    batch_size: int = Field(default=32, ge=1)
    """Rows in a step of the optimizer, those of all workers together."""

    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Parts that a batch is cut into, computed one after the other: less memory, the same step."""

    num_epochs: int = Field(default=10, ge=1)
    """Passes over the texts."""

    warmup_ratio: float = Field(default=0.06, ge=0, le=1)
    """Share of all steps over which the learning rate rises."""

    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Share of the activations that is dropped, of an encoder from scratch."""

    eval_steps: int | None = Field(default=None, ge=1)
    """Measure on held-out rows, and write a checkpoint, every so many steps; by default after each epoch."""

    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Seed of weights, dropout, masks and the order of the rows."""

    offline: bool = False
    """Refuse to load a model over the network."""

    fork: bool = Field(default=False, exclude=True)
    """Start anew where the data or a key has changed since the checkpoint; without it that is refused."""


@verb
def pretrain(source: tuple[Path, ...], config: PretrainConfig, *, out: Path, effects: Effects = NO_EFFECTS) -> Bundle:
    """Let a network learn to read from texts without labels.

    The Bundle is a plain Hugging Face folder with its tokenizer. One that guesses hidden tokens fills gaps, one that
    guesses the next token is a language model, and the others give no answers yet: train a model from it with yanmo
    train DATASET --init FOLDER. A run that was killed goes on from its last checkpoint when the same command is given
    again, and SIGTERM makes it write one first. Under torchrun the workers share every batch.

    Args:
        source: Datasets, of which the texts of all splits but test are read, and raw files.
        config: Which encoder, and what it learns.
        out: Where the Bundle appears.
        effects: Key, replacement and watchers of the call.

    Raises:
        DataError: A source cannot be read, or there is too little text.
        ModelError: There is no such model, or its training cannot go on.
        ConfigError: A setting does not suit the model, or has changed since the checkpoint.
        BusyError: Another process works there.
        StoppedError: SIGTERM came; a checkpoint was written.
        MissingExtraError: The packages that train are not installed.
    """
    spec = check_encoder(config)
    if "learning_rate" not in config.model_fields_set:
        config = config.model_copy(update={"learning_rate": _usual_rate(spec, config)})
    settled = config.model_copy(update={"num_threads": config.num_threads or default_num_threads(), "model": spec.name})
    options = ReadOptions(**config.model_dump(include=set(ReadOptions.model_fields)))
    texts = open_texts(source, options, config.text)
    # A plain checkpoint does not say how its texts were cut into words; a Bundle does.
    if spec.is_local and (Path(spec.source) / MANIFEST).is_file():
        check_segmenter(Bundle.open(spec.source), texts.config, "the texts to read")
    parents = dict(texts.parents)
    if spec.is_local:
        parents["checkpoint"] = folder_digest(Path(spec.source))
    plain = settled.model_dump(mode="json")
    run_key = stage_key("pretrain", parents, plain)
    with (
        working(out, parents=parents, config=plain, fork=config.fork) as folder,
        # All workers train; the first alone tells the tracker and publishes.
        tracked(None if worker_rank() else config.tracker, name=out.name, work_dir=folder) as run,
    ):
        trained = _run(spec, settled, texts, folder, run_key, tell=effects.watched(run.watch).tell)
        if not worker_rank():
            _publish(trained, spec, settled, texts, parents, out=out, effects=effects)
            run.finish(plain, trained.scores, out)
    return Bundle.open(out, verify=False)


def _usual_rate(spec: ModelSpec, config: PretrainConfig) -> float:
    """Return the learning rate of an objective where none is given."""
    if config.objective == "clm" and spec.family in CLASSIFYING_DECODERS:
        return float(FAMILY_DEFAULTS[spec.family]["learning_rate"])
    return SPANS_RATE if config.objective == "spans" else config.learning_rate


def check_encoder(config: PretrainConfig) -> ModelSpec:
    """Return what the model's name means, after checking that it can be pre-trained here."""
    spec = resolve(config.model)
    if (config.objective == "spans") != (spec.family in ENCODER_DECODER_FAMILIES) and spec.family != "pretrained":
        raise ConfigError(
            f"The 'objective' parameter of pretrain must be spans for t5, and only there. Got '{config.objective}' for "
            f"{spec.name} instead.",
            hint="Let T5 write what is cut out: --model t5-4x256 --objective spans.",
        )
    if (config.objective == "clm") != (spec.family in CLASSIFYING_DECODERS) and spec.family != "pretrained":
        raise ConfigError(
            "The 'objective' parameter of pretrain must be clm for gpt2 and gpt, and only there. Got "
            f"'{config.objective}' for {spec.name} instead.",
            hint="Let GPT guess the next token: --model gpt-4x256 --objective clm.",
        )
    if spec.family not in (*ENCODER_FAMILIES, *CLASSIFYING_DECODERS, *ENCODER_DECODER_FAMILIES, "pretrained"):
        raise ConfigError(
            "The 'model' parameter of pretrain must be an encoder, t5 with --objective spans, or gpt2 or gpt with "
            f"--objective clm. Got '{config.model}' instead.",
            hint=f"Give {', '.join(ENCODER_FAMILIES)} with layers x width, such as bert-4x312, or a checkpoint.",
        )
    if config.objective == "rtd" and spec.family not in ("electra", "pretrained"):
        raise ConfigError(
            f"The 'objective' parameter of pretrain must be mlm for {spec.name}. Got 'rtd' instead.",
            hint="Replaced-token detection trains ELECTRA: --model electra-4x312.",
        )
    if config.objective == "clm" and config.packing == "rows":
        raise ConfigError(
            "The 'packing' parameter of pretrain must be documents for clm: in full rows a document would see others.",
            hint="Leave it out.",
        )
    check_compiler(config)
    if config.offline and spec.is_hub_id:
        raise ConfigError(
            f"The model {spec.name} would be loaded over the network, but offline is set.",
            hint="Give a local folder, or leave offline out.",
        )
    check_installed("Pre-training", "torch", "transformers", extra="train")
    return spec


def _run(
    spec: ModelSpec, config: PretrainConfig, texts: PlainTexts, folder: Path, run_key: str, *, tell: Watcher
) -> Trained:
    from yanmo.modeling.language_training.next_token_pretraining import pretrain_next_tokens
    from yanmo.modeling.language_training.span_pretraining import pretrain_spans
    from yanmo.modeling.runs.pretraining import pretrain_network

    learn = {"spans": pretrain_spans, "clm": pretrain_next_tokens}.get(config.objective, pretrain_network)
    values = config.model_dump()
    shared: dict[str, Any] = {
        "keeps_some": config.mask_style == "mixed",
        "is_segmented": texts.config.segmenter != "none",
    }
    reading = {one.name: values[one.name] for one in fields(ReadingSettings) if one.name in values}
    # No keys: weight decay and clipping are BERT's own, and nothing stops early here.
    constant: dict[str, Any] = {"weight_decay": 0.01, "max_grad_norm": 1.0, "early_stopping_patience": NEVER}
    if config.objective == "spans":
        constant["optimizer"] = "scaled-adamw"
    if config.objective == "clm":
        constant["optimizer"] = FAMILY_DEFAULTS[spec.family].get("optimizer", "adamw")
    loop = {one.name: values[one.name] for one in fields(LoopSettings) if one.name in values}
    return learn(
        spec,
        texts.blocks,
        reading=ReadingSettings(**reading, **shared),
        loop=LoopSettings(**loop, **constant),
        work_dir=folder,
        run_key=run_key,
        tell=tell,
    )


def _publish(
    trained: Trained,
    spec: ModelSpec,
    config: PretrainConfig,
    texts: PlainTexts,
    parents: dict[str, str],
    *,
    out: Path,
    effects: Effects,
) -> None:
    # A copy, as something is taken out of it.
    architecture = dict(trained.architecture)
    scores = {f"valid_{name}": round(score, 6) for name, score in trained.scores.items()}
    facts: dict[str, Any] = {**architecture.pop("facts"), **scores}
    info = {
        "format": "torch",
        "model": spec.name,
        "max_length": trained.max_length,
        "summary": facts,
        "architecture": architecture,
        "text": texts.config.model_dump(mode="json"),
    }
    identity = Identity(
        kind=Bundle.kind,
        verb="pretrain",
        task=READING[config.objective],
        labels=[],
        parents=parents,
        # What auto came to is known only after the training has measured it.
        config={**config.model_dump(mode="json"), "precision": trained.precision},
        seed=config.seed,
        info=info,
    )
    with publish_bundle(out, identity, effects=effects) as made:
        trained.save(made.path)
        if texts.user_dict_path:
            shutil.copyfile(texts.user_dict_path, made.path / texts.user_dict_path.name)
        if not only_reads(identity.task):
            write_answers(made, _examples(texts, has_gaps=config.objective == "mlm"))
        card = partial(render_encoder_card, model=spec.name, text=texts.config, facts=facts, task=identity.task)
        write_cards(made.path, card)


def _examples(texts: PlainTexts, *, has_gaps: bool) -> Inputs:
    """Return the beginnings of a few documents, some with a gap behind them, to keep as golden examples."""
    block: list[str] = next(iter(texts.blocks()), [])
    beginnings = [one[:EXAMPLE_CHARACTERS] for one in block[:NUM_EXAMPLES]]
    gaps = [f"{one} [MASK]" for one in beginnings[: NUM_EXAMPLES // 2]] if has_gaps else []
    return Inputs((beginnings + gaps,))
