"""Training of a network that writes a text from another: tokenizer, rows of pairs, loop; it knows no artifact."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from torch import nn
from transformers import PreTrainedTokenizerFast

from yanmo.arrays import IntArray
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import ConfigError
from yanmo.modeling.arithmetic.determinism import default_device, repeatable
from yanmo.modeling.features.ragged import Examples
from yanmo.modeling.language.encoder_decoders import build_encoder_decoder, load_encoder_decoder, score_pairs
from yanmo.modeling.language.pairs import PairRows, tokenize_pairs
from yanmo.modeling.language.partial_learning import few_learn, merge_nothing
from yanmo.modeling.language.taught_targets import with_taught_targets
from yanmo.modeling.language.vocabularies import choose_pair_tokenization, train_vocabulary
from yanmo.modeling.loop.scoring import compute_logits
from yanmo.modeling.loop.training_loop import METRICS, Trainer, fit
from yanmo.modeling.networks import encoders
from yanmo.modeling.objectives.masked_tokens import QuestionCounts
from yanmo.modeling.objectives.target_tokens import TargetTokens
from yanmo.modeling.objectives.token_losses import LOSS, TOKENS
from yanmo.modeling.parallel import workers
from yanmo.modeling.pretrained.checkpoint_tokenizer import check_fits, load_tokenizer
from yanmo.modeling.pretrained.hub import find_folder
from yanmo.modeling.settings import LabeledTexts, LanguageSettings, LoopSettings, Pruning, Teaching, Trained
from yanmo.models import STARTED_FAMILIES, ModelSpec
from yanmo.text.language_tokens import END
from yanmo.text.pair_tokens import PAD, PairTokenizer

__all__ = ["train_text_to_text"]

ENCODER_DECODER = "encoder-decoder"
DEFAULT_LENGTH = 128
BATCH_SIZE = 32


@dataclass(frozen=True)
class BegunPair:
    """A network before its training.

    Attributes:
        module: The network.
        wrapped: Its tokenizer, as Hugging Face folders hold it.
        tokenizer: The same, ready to cut pairs.
        merge: Makes the changes that were learned beside the weights a part of them.
    """

    module: nn.Module
    wrapped: PreTrainedTokenizerFast
    tokenizer: PairTokenizer
    merge: Callable[[], object] = merge_nothing


def train_text_to_text(
    spec: ModelSpec,
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    language: LanguageSettings,
    loop: LoopSettings,
    headline: str,
    work_dir: Path,
    run_key: str,
    teaching: Teaching | None = None,
    ask: Callable[[], LabeledTexts] | None = None,
    pruning: Pruning | None = None,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Train a network that writes the first reference of a text; the weights with the best ``loop.metric`` are kept.

    Args:
        spec: A shape of an encoder with a decoder, or a checkpoint to go on from.
        train: Texts to learn from with their references, which a vocabulary is made of.
        valid: Texts that choose the best weights.
        language: What decides the network and its tokenizer.
        loop: How it is trained.
        headline: What the share of targets that are written as they are is called.
        work_dir: Where the checkpoint and ``metrics.jsonl`` are kept; a run of the same key is continued.
        run_key: Names the work.
        teaching: How much is learned of what a teacher writes.
        ask: Gives the texts with what the teacher writes, instead of ``train``; it is called once the network is there.
        pruning: How many layers that write are left out of the checkpoint before it learns.
        tell: Is shown every record of the training.

    Raises:
        ModelError: A checkpoint cannot be used, or the loss is not a finite number.
        StoppedError: SIGTERM came; a checkpoint was written.
        ConfigError: A setting does not suit the model.
    """
    _check_metric(loop.metric, headline, spec)
    workers.join()
    loop = dataclasses.replace(loop, device=default_device())
    with repeatable(loop.seed, num_threads=loop.num_threads):
        begun = _without_layers(_begin(spec, train, language, work_dir, run_key), train, language, pruning)
    # Outside of both blocks: the random numbers that a teacher's answers take must not change the training.
    taught = train if ask is None else with_taught_targets(ask(), teaching, seed=loop.seed)
    with repeatable(loop.seed, num_threads=loop.num_threads):
        learned, held = (_tokenized(begun, one, language, name) for name, one in (("train", taught), ("valid", valid)))
        trainer = Trainer(
            begun.module,
            functools.partial(score_pairs, smoothing=language.label_smoothing or 0.0),
            objective=TargetTokens(headline),
            settings=loop,
            work_dir=work_dir,
            run_key=run_key,
            tell=tell,
        )
        scores = fit(trainer, _learned(learned, taught), _examples(held, valid))
    begun.module.to("cpu")
    begun.merge()
    save = functools.partial(_save, begun, work_dir)
    architecture = _architecture(begun, language) | (_left(begun.module) if pruning is not None else {})
    return Trained(save, scores, architecture, language.max_length or DEFAULT_LENGTH, trainer.position.precision)


def _check_metric(metric: str, headline: str, spec: ModelSpec) -> None:
    """Refuse a measure that only whole texts have."""
    if metric not in (headline, "loss"):
        raise ConfigError(
            f"The 'metric' parameter of train must be {headline} or loss for {spec.name}. Got {metric!r} instead.",
            hint="These two are known without writing all texts after each epoch; evaluate tells the others.",
        )


def _architecture(begun: BegunPair, language: LanguageSettings) -> dict[str, Any]:
    """Return what a Bundle says of the network besides its config.json."""
    return {
        "family": ENCODER_DECODER,
        "end": begun.wrapped.eos_token,
        "marks": msgspec.to_builtins(begun.tokenizer.marks),
        "max_target_length": language.max_target_length or DEFAULT_LENGTH,
        "num_beams": language.num_beams,
    }


def _tokenized(begun: BegunPair, texts: LabeledTexts, language: LanguageSettings, split: str) -> PairRows:
    return tokenize_pairs(
        begun.tokenizer,
        texts.texts.first,
        texts.targets.learned,
        max_length=language.max_length or DEFAULT_LENGTH,
        max_target_length=language.max_target_length or DEFAULT_LENGTH,
        split=split,
    )


def _without_layers(
    begun: BegunPair, train: LabeledTexts, language: LanguageSettings, pruning: Pruning | None
) -> BegunPair:
    """Return a network without some of its layers that write, those without which it loses least on some texts."""
    if pruning is None:
        return begun
    from yanmo.modeling.shrinking.writing_layers import cut_writing_layers

    labeled = np.flatnonzero(train.is_labeled_N)
    rows = labeled[np.unique(np.linspace(0, len(labeled) - 1, pruning.num_importance_texts).round().astype(np.int64))]
    pairs = _tokenized(begun, train.take(rows), language, "the texts that tell what matters")

    def measure(module: nn.Module) -> float:
        outputs_NS = compute_logits(module, score_pairs, pairs, batch_size=BATCH_SIZE)
        return float(outputs_NS[:, LOSS].sum() / outputs_NS[:, TOKENS].sum())

    return dataclasses.replace(begun, module=cut_writing_layers(begun.module, pruning.layers, measure))


def _left(module: Any) -> dict[str, Any]:
    """Return what is left of a pruned network, which transformers' own class holds."""
    config = module.config
    layers = getattr(config, "num_decoder_layers", None) or config.decoder_layers
    return {
        "kept": {"decoder_layers": layers},
        "is_stock": True,
        "num_parameters": sum(one.numel() for one in module.parameters()),
    }


def _save(begun: BegunPair, work_dir: Path, folder: Path) -> None:
    encoders.save(folder, begun.module, begun.wrapped)
    shutil.copyfile(work_dir / METRICS, folder / METRICS)


def _learned(rows: PairRows, texts: LabeledTexts) -> Examples:
    """Return pairs to learn from; a batch's loss is a mean over the tokens of its targets."""

    def draw(epoch: int, rows_S: IntArray) -> Examples:  # noqa: ARG001 - the same pairs in every epoch
        counted = int(rows.targets.lengths_N[rows_S].sum()) / len(rows_S)
        return Examples(rows, QuestionCounts(np.array([counted], dtype=np.float32), len(rows.lengths_N)), texts.ids)

    return dataclasses.replace(_examples(rows, texts), drawn=draw)


def _examples(rows: PairRows, texts: LabeledTexts) -> Examples:
    return Examples(rows, QuestionCounts(np.ones(1, dtype=np.float32), len(rows.lengths_N)), texts.ids)


def _begin(spec: ModelSpec, train: LabeledTexts, language: LanguageSettings, work_dir: Path, run_key: str) -> BegunPair:
    if spec.family in STARTED_FAMILIES:
        return _begin_with_checkpoint(spec, language)
    sources, targets = train.texts.first, train.targets.learned
    tokenization = language.tokenization
    if tokenization == "auto":
        tokenization = choose_pair_tokenization(sources, targets)
    backend = train_vocabulary(
        work_dir / f"tokenizer-{run_key[:16]}.json",
        [*sources, *targets],
        tokenization,
        vocab_size=language.vocab_size or 0,
    )
    backend.add_special_tokens([PAD])
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, model_max_length=language.max_length, eos_token=END, pad_token=PAD
    )
    tokenizer = PairTokenizer.of(wrapped.backend_tokenizer, name=spec.name, pad=PAD, end=END, begin_id=None)
    module = build_encoder_decoder(
        spec,
        vocab_size=tokenizer.language.vocab_size,
        pad_id=tokenizer.pad_id,
        end_id=tokenizer.marks.end_id,
        dropout=language.dropout or 0.0,
    )
    return BegunPair(module, wrapped, tokenizer)


def _begin_with_checkpoint(spec: ModelSpec, language: LanguageSettings) -> BegunPair:
    folder = find_folder(spec, offline=language.offline)
    module: Any = load_encoder_decoder(folder, dropout=language.dropout)
    wrapped = load_tokenizer(folder)
    tokenizer = PairTokenizer.of(
        wrapped.backend_tokenizer,
        name=spec.name,
        # Another token stands in where there is none, which a network that has learned with its own would misread.
        pad=None if wrapped.pad_token in (wrapped.eos_token, wrapped.unk_token) else wrapped.pad_token,
        end=wrapped.eos_token,
        begin_id=module.config.decoder_start_token_id,
    )
    check_fits(tokenizer.language.backend, module.get_input_embeddings().num_embeddings, spec.name)
    limit = encoders.max_positions(module)
    longest = max(language.max_length or 0, language.max_target_length or 0)
    if limit is not None and longest > limit:
        raise ConfigError(
            f"The 'max_length' and 'max_target_length' parameters of train must be at most {limit} for {spec.name}. "
            f"Got {longest} instead."
        )
    merge = few_learn(module, lora_rank=language.lora_rank, frozen_layers=language.frozen_layers)
    return BegunPair(module, wrapped, tokenizer, merge)
