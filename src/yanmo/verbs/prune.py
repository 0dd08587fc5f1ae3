"""prune: a network without the parts that matter least, recovered with its unpruned self as teacher.

It checks, asks, measures and publishes, and knows no torch.
"""

import functools
import logging
import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from yanmo.artifacts.bundle import WEIGHTS, Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import stage_key
from yanmo.compressing.sparsity import copy_with_zeros
from yanmo.compressing.teaching import ask, taught_texts
from yanmo.compressing.token_lessons import teaches_tokens
from yanmo.compressing.transfer_texts import Altering, Transfer, gather_texts
from yanmo.config import Config
from yanmo.data.read import ReadOptions
from yanmo.errors import ArtifactError, ConfigError, check_installed
from yanmo.exchanging.onnx_bundle import encoder_graph, publish_from, write_graph
from yanmo.measuring.evaluation import load_split, match_bundle, run_bundle, with_labels_of
from yanmo.measuring.inputs import profile_inputs
from yanmo.metrics.measures import compare
from yanmo.modeling.settings import Importance, LabeledTexts, Pruning, Teaching, Trained
from yanmo.models import ModelSpec
from yanmo.runtimes.predictor import default_num_threads
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.training.job import Job, labeled_texts, learn
from yanmo.training.train_config import TrainConfig
from yanmo.training.work_folder import check_alone, working
from yanmo.verbs.signature import verb

__all__ = ["PruneConfig", "prune"]

logger = logging.getLogger(__name__)

NUM_RESAMPLES = 2000
# More evaluations than any training has.
NEVER = 2**31
PARTS = ("heads", "feed_forward", "layers", "vocabulary")
PARTS_OF = {"encoder": PARTS, "decoder": PARTS, "encoder-decoder": ("layers",)}
"""Family of a torch Bundle to what can be left out of it; of one that writes, layers that do so."""
SINGLE = ("weights", "threshold")


class PartKeys(Config):
    """What is left out."""

    heads: float = Field(default=0.0, ge=0, lt=1)
    """Share of the attention heads to leave out."""

    feed_forward: float = Field(default=0.0, ge=0, lt=1)
    """Share of the feed-forward neurons to leave out; what stays is a multiple of 16."""

    layers: int = Field(default=0, ge=0)
    """Layers to leave out: one after the other, the one without which the loss is least; of a model that writes texts
    for others those of its decoder."""

    vocabulary: int = Field(default=0, ge=0)
    """Keep the tokens that occur at least so often in the splits train and unlabeled, and the special ones; and the
    places that texts reach. 0 keeps all."""

    weights: float = Field(default=0.0, ge=0, lt=1)
    """Share of single weights to set to zero, the smallest ones: the model compresses better and is as large and as
    fast as before."""

    threshold: float = Field(default=0.0, ge=0)
    """Also set single weights of a smaller magnitude to zero."""

    importance: Importance = "taylor"
    """What matters: taylor, what the loss changes by without the part, to first order (Michel et al. 2019,
    arXiv:1905.10650); magnitude, large weights."""

    uniform: bool = True
    """Leave out as many in every layer; else those that matter least in all layers together, and the Bundle is ONNX."""

    num_importance_texts: int = Field(default=1000, ge=16)
    """Training texts on which the importance is measured."""


class RecoveryKeys(Config):
    """How the rest learns to answer as the whole did."""

    num_epochs: int = Field(default=2, ge=0)
    """Passes over the splits train and unlabeled, with the unpruned model as the teacher; 0 leaves recovery out."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak of the schedule."""

    batch_size: int = Field(default=32, ge=1)
    """Texts in a step of the optimizer."""

    alpha: float = Field(default=0.7, ge=0, le=1)
    """Weight of the unpruned model's answers; the labels have the rest."""

    temperature: float = Field(default=1.0, gt=0, le=20)
    """Softening of both answers."""

    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Seed of dropout and the order of the texts."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic: auto measures which one is faster where the processor has bf16 products."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""

    fork: bool = Field(default=False, exclude=True)
    """Start anew where the data or a key has changed since the checkpoint; without it that is refused."""


class PruneConfig(RecoveryKeys, PartKeys):  # pydantic lists the fields of the last base first
    """What is left out, and how the rest recovers."""


@verb
def prune(bundle: Bundle, dataset: Dataset, config: PruneConfig, *, out: Path, effects: Effects = NO_EFFECTS) -> Bundle:
    """Leave out the parts of a model that matter least.

    Heads, feed-forward neurons, layers and tokens are cut out of a network, so that it is smaller and faster, and it
    recovers with its unpruned self as the teacher. Where transformers' own class can hold the rest, the Bundle is a
    plain Hugging Face folder; where heads are gone or layers differ, it is ONNX. Single weights of any model can be set
    to zero instead. The manifest says what that cost on the validation split.

    Args:
        bundle: A torch Bundle of an encoder: bert, roberta, xlm-roberta, camembert, electra, distilbert, mpnet,
            modernbert, or deberta-v2 without its heads; of a language model: gpt, llama, qwen, gpt2 without its heads,
            lstm and gcnn without heads and neurons; or of t5, of which layers that write are left out; for single
            weights also of another single model.
        dataset: With the splits train and valid.
        config: What is left out, and how the rest recovers.
        out: Where the new Bundle appears.
        effects: Key, replacement and watchers of the call.

    Raises:
        ArtifactError: The Bundle has no such parts.
        ConfigError: Nothing is to be left out, or something that this model does not have.
        DataError: Task or labels of Bundle and Dataset differ.
        BusyError: Another process works there.
        MissingExtraError: The packages that train are not installed.
    """
    check_form(task_of(bundle), "prune")
    is_single = _check(bundle, config)
    dataset = with_labels_of([bundle], dataset)
    match_bundle(bundle, dataset)
    # Settled before the work is claimed: bits depend on the number of threads.
    config = config.model_copy(update={"num_threads": config.num_threads or default_num_threads()})
    parents, plain = {"bundle": bundle.digest, "dataset": dataset.digest}, config.model_dump(mode="json")
    info = dict(bundle.manifest.info)
    if config.num_epochs and not is_single:
        info.pop("calibration", None)  # calibrated answers teach it: that map would be applied twice
    with working(out, parents=parents, config=plain, fork=config.fork, has_network=not is_single) as folder:
        run_key = stage_key("prune", parents, plain)

        def make(made: Bundle) -> None:
            if is_single:
                facts = _zero_weights(bundle, made, config)
            else:
                trained = learn(_make_job(bundle, dataset, config, folder, run_key), tell=effects.tell)
                facts = _write_encoder(trained, bundle, made, info, folder / "draft")
            # The manifest is written from this dictionary after make has returned.
            info["summary"] = {**facts, **_say_cost(bundle, made, dataset, config)}
            info.update(profile_inputs(made, dataset))

        publish_from(
            bundle,
            verb="prune",
            config=plain,
            info=info,
            parents={"dataset": dataset.digest},
            out=out,
            make=make,
            effects=effects,
        )
    return Bundle.open(out, verify=False)


def _check(bundle: Bundle, config: PruneConfig) -> bool:
    """Return whether single weights are set to zero, not parts cut out."""
    check_alone("prune")
    given = {name: bool(getattr(config, name)) for name in (*PARTS, *SINGLE)}
    is_single, has_parts = any(given[name] for name in SINGLE), any(given[name] for name in PARTS)
    if is_single == has_parts:
        raise ConfigError(
            "prune leaves out either parts or single weights. Got both instead."
            if is_single
            else "prune has nothing to leave out.",
            hint="Give heads, feed_forward, layers or vocabulary; or weights or threshold, if need be one after the "
            "other.",
        )
    if bundle.is_composite:
        raise ArtifactError(
            f"prune takes a single model. {bundle.path} is of format {bundle.format}.",
            hint=f"Prune its members, then make the {bundle.format} of them.",
        )
    if bundle.manifest.info.get("precision", "fp32") != "fp32":
        raise ArtifactError(f"{bundle.path} is int8 already.", hint="Prune the Bundle it was made from, then quantize.")
    if is_single and not (bundle.path / WEIGHTS).is_file():
        raise ArtifactError(
            f"prune sets weights to zero in {WEIGHTS}. {bundle.path} is of format {bundle.format} and has none.",
            hint="Give the torch Bundle it was made from.",
        )
    if has_parts:
        _check_parts(bundle, [name for name in PARTS if given[name]])
        check_installed("Pruning parts", "torch", "transformers", extra="train")
    return is_single


def _check_parts(bundle: Bundle, given: Sequence[str]) -> None:
    """Refuse parts that a model does not have."""
    able = PARTS_OF.get(str(bundle.architecture.get("family")), ()) if bundle.format == "torch" else ()
    if not able:
        raise ArtifactError(
            f"prune cuts parts out of torch encoders and language models. {bundle.path} holds {bundle.model}, of "
            f"format {bundle.format}.",
            hint="Give the torch Bundle, before it is exported; for single weights: --weights 0.5.",
        )
    unable = [name for name in given if name not in able]
    if unable:
        raise ConfigError(
            f"The '{unable[0]}' parameter of prune does not suit {bundle.model}, of which {', '.join(able)} can be "
            "left out.",
            hint=f"Leave {unable[0]} out.",
        )


def _zero_weights(bundle: Bundle, made: Bundle, config: PruneConfig) -> dict[str, Any]:
    facts = copy_with_zeros(bundle, made.path, share=config.weights, threshold=config.threshold)
    logger.info(
        "%.1f %% of the weights are zero. Compressed the weights take %.2f MB instead of %.2f MB; the file is as large "
        "and the model as fast as before.",
        100 * facts["sparsity"],
        facts["compressed_mb"],
        facts["compressed_mb_before"],
    )
    return facts


def _write_encoder(trained: Trained, bundle: Bundle, made: Bundle, info: dict[str, Any], draft: Path) -> dict[str, Any]:
    """Write the smaller encoder into the unfinished Bundle, and return what is left of it."""
    # Taken out: what is left describes the network and goes into the manifest.
    facts = {name: trained.architecture.pop(name) for name in ("kept", "is_stock", "num_parameters")}
    info["architecture"] = {**bundle.architecture, **trained.architecture}
    if facts.pop("is_stock"):
        trained.save(made.path)
        (made.path / "metrics.jsonl").unlink(missing_ok=True)
    else:
        _write_onnx(trained, draft, made, info)
    return {**facts["kept"], "num_parameters": facts["num_parameters"]}


def _write_onnx(trained: Trained, draft: Path, made: Bundle, info: dict[str, Any]) -> None:
    from yanmo.exporting.encoder_folder import read_folder

    # What a run that was killed has left of it.
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    # The ONNX writer reads a folder, and no class of transformers could hold these weights.
    trained.save(draft)
    shutil.copyfile(draft / "tokenizer.json", made.path / "tokenizer.json")
    info["format"] = "onnx"
    write_graph(made.path, encoder_graph(made, read_folder(draft)))


def _make_job(bundle: Bundle, dataset: Dataset, config: PruneConfig, folder: Path, run_key: str) -> Job:
    """Return the training of what is left of an encoder, on what the whole one answers."""
    splits = {name: labeled_texts(dataset, name, bundle.labels, bundle.text_pipeline()) for name in ("train", "valid")}
    found = gather_texts(dataset, (), ReadOptions(), "text", Altering())
    train = taught_texts(splits["train"], found.real, bundle.text_pipeline(), task_of(bundle))
    job = Job(
        ModelSpec(bundle.name, "pretrained", source=str(bundle.path), is_local=True),
        _settle(bundle, config),
        task_of(bundle),
        bundle.labels,
        train,
        splits["valid"],
        folder,
        run_key,
        is_length_given=False,
        pruning=Pruning(**config.model_dump(include={field.name for field in fields(Pruning)})),
    )
    if not config.num_epochs:
        return job
    if teaches_tokens(job.task):
        return replace(job, teaching=Teaching(config.alpha, config.temperature, teacher_dir=bundle.path))
    whole = functools.partial(_ask_whole, bundle, dataset, found, train, beside=folder, num_threads=config.num_threads)
    return replace(job, teaching=Teaching(config.alpha, config.temperature), ask=whole)


def _settle(bundle: Bundle, config: PruneConfig) -> TrainConfig:
    """Return the settings of the recovery, as every training has them; it does not stop early."""
    shared = config.model_dump(include={*RecoveryKeys.model_fields} & {*TrainConfig.model_fields})
    num_epochs = shared.pop("num_epochs")
    if not num_epochs:
        shared["precision"] = "fp32"  # there is no step that another one could make faster
    settled = TrainConfig(
        model=bundle.name,
        max_length=bundle.max_length,
        max_target_length=bundle.architecture.get("max_target_length"),
        layer_decay=1.0,
        warmup_ratio=0.1,
        weight_decay=0.01,
        max_grad_norm=1.0,
        gradient_accumulation_steps=1,
        early_stopping_patience=NEVER,
        offline=True,
        **shared,
    )
    # Past the validation: train refuses 0 epochs, which leave out the recovery here.
    return settled.model_copy(update={"num_epochs": num_epochs})


def _ask_whole(
    bundle: Bundle, dataset: Dataset, found: Transfer, train: LabeledTexts, *, beside: Path, num_threads: int | None
) -> LabeledTexts:
    """Return the training and unlabelled texts with the whole model's answers, columns in the Bundle's order."""
    taught = ask(bundle, dataset, found, beside=beside, num_threads=num_threads)
    # The answers have the Dataset's columns; each goes to the Bundle's column of the same label.
    return replace(train, soft=taught.evidence.ordered(np.argsort(match_bundle(bundle, dataset)).tolist()))


def _say_cost(bundle: Bundle, made: Bundle, dataset: Dataset, config: PruneConfig) -> dict[str, Any]:
    """Return what was lost on the validation split, and say it."""
    split = load_split(dataset, "valid")
    speed: dict[str, Any] = {"num_threads": config.num_threads, "measure_speed": False}
    before = run_bundle(bundle, dataset, split, **speed)
    after = run_bundle(made, dataset, split, **speed, verify_golden=False)
    task = task_of(bundle)
    ours_NS, theirs_NS = (task.statistics(one.evidence, split.targets) for one in (after, before))
    name = task.measures[0].name
    found = compare(ours_NS, theirs_NS, task.measures[:1], num_resamples=NUM_RESAMPLES, seed=0)[name]
    size = sum(file.stat().st_size for file in made.path.rglob("*") if file.is_file())
    # Golden examples and manifest are not there yet, which is little beside the weights.
    ratio = size / bundle.size_bytes
    logger.info("%s on valid %.4f, before %.4f; size x %.3f.", name, found.ours, found.theirs, ratio)
    return {
        f"valid_{name}": round(found.ours, 6),
        f"{name}_drop": found.drop,
        f"{name}_drop_interval": found.drop_interval,
        "size_ratio": round(ratio, 4),
    }
