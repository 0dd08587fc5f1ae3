"""prune: an encoder without the parts that matter least, recovered with its unpruned self as teacher.

It checks, asks, measures and publishes, and knows no torch.
"""

import functools
import logging
import shutil
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import stage_key
from yanmo.bundling.conversion import encoder_graph, publish_from, write_graph
from yanmo.bundling.sparsity import WEIGHTS, copy_with_zeros
from yanmo.bundling.teaching import ask, taught_texts
from yanmo.bundling.training import measure_answers, raw_columns
from yanmo.bundling.transfer import Altering, Transfer, gather
from yanmo.bundling.working import check_alone, working
from yanmo.config import Config
from yanmo.data.read import ReadOptions
from yanmo.errors import ArtifactError, ConfigError, check_installed
from yanmo.measuring.evaluation import load_split, match_labels, run_bundle
from yanmo.measuring.inputs import profile_inputs
from yanmo.modeling.settings import LabeledTexts, LoopSettings, NetworkSettings, Teaching, Texts, Trained
from yanmo.reporting.quality import compare
from yanmo.runtimes.predictor import default_num_threads
from yanmo.tasks import get_task
from yanmo.verbs.signature import verb

__all__ = ["PruneConfig", "prune"]

logger = logging.getLogger(__name__)

NUM_RESAMPLES = 2000
NEVER = 2**31
PARTS = ("heads", "feed_forward", "layers", "vocabulary")
SINGLE = ("weights", "threshold")


class PartKeys(Config):
    """What is left out."""

    heads: float = Field(default=0.0, ge=0, lt=1)
    """Share of the attention heads to leave out."""

    feed_forward: float = Field(default=0.0, ge=0, lt=1)
    """Share of the feed-forward neurons to leave out; what stays is a multiple of 16."""

    layers: int = Field(default=0, ge=0)
    """Layers to leave out: one after the other, the one without which the loss is least."""

    vocabulary: int = Field(default=0, ge=0)
    """Keep the tokens that occur at least so often in the splits train and unlabeled, and the special ones; and the
    places that texts reach. 0 keeps all."""

    weights: float = Field(default=0.0, ge=0, lt=1)
    """Share of single weights to set to zero, the smallest ones: the model compresses better and is as large and as
    fast as before."""

    threshold: float = Field(default=0.0, ge=0)
    """Also set single weights of a smaller magnitude to zero."""

    importance: Literal["taylor", "magnitude"] = "taylor"
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


@dataclass(frozen=True)
class Work:
    """What a pruning is given."""

    bundle: Bundle
    dataset: Dataset
    config: PruneConfig
    folder: Path
    run_key: str
    effects: Effects


@verb
def prune(bundle: Bundle, dataset: Dataset, config: PruneConfig, *, out: Path, effects: Effects = NO_EFFECTS) -> Bundle:
    """Leave out the parts of a model that matter least.

    Heads, feed-forward neurons, layers and tokens are cut out of an encoder, so that it is smaller and faster, and it
    recovers with its unpruned self as the teacher. Where transformers' own class can hold the rest, the Bundle is a
    plain Hugging Face folder; where heads are gone or layers differ, it is ONNX. Single weights of any model can be set
    to zero instead. The manifest says what that cost on the validation split.

    Args:
        bundle: A torch Bundle of the family bert, roberta or electra; for single weights also of another single model.
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
    is_single = _check(bundle, config)
    match_labels(bundle, dataset)
    config = config.model_copy(update={"num_threads": config.num_threads or default_num_threads()})
    parents, plain = {"bundle": bundle.digest, "dataset": dataset.digest}, config.model_dump(mode="json")
    info = dict(bundle.manifest.info)
    with working(out, parents=parents, config=plain, fork=config.fork, has_network=not is_single) as folder:
        work = Work(bundle, dataset, config, folder, stage_key("prune", parents, plain), effects)

        def make(made: Bundle) -> None:
            facts = _zero_weights(work, made) if is_single else _cut_parts(work, made, info)
            info["summary"] = {**facts, **_say_cost(work, made)}
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
    if has_parts and (bundle.format != "torch" or bundle.architecture.get("family") != "encoder"):
        raise ArtifactError(
            f"prune cuts parts out of torch encoders. {bundle.path} holds {bundle.model}, of format {bundle.format}.",
            hint="Give the torch Bundle of an encoder, before it is exported; for single weights: --weights 0.5.",
        )
    if has_parts:
        check_installed("Pruning parts", "torch", "transformers", extra="train")
    return is_single


def _zero_weights(work: Work, made: Bundle) -> dict[str, Any]:
    config = work.config
    facts = copy_with_zeros(work.bundle, made.path, share=config.weights, threshold=config.threshold)
    logger.info(
        "%.1f %% of the weights are zero. Compressed the weights take %.2f MB instead of %.2f MB; the file is as large "
        "and the model as fast as before.",
        100 * facts["sparsity"],
        facts["compressed_mb"],
        facts["compressed_mb_before"],
    )
    return facts


def _cut_parts(work: Work, made: Bundle, info: dict[str, Any]) -> dict[str, Any]:
    """Write the smaller encoder into the unfinished Bundle."""
    trained = _recover(work)
    facts = {name: trained.architecture.pop(name) for name in ("kept", "is_stock", "num_parameters")}
    info["architecture"] = {**work.bundle.architecture, **trained.architecture}
    if work.config.num_epochs:
        info.pop("calibration", None)  # calibrated answers have taught it: that map would be applied twice
    if facts.pop("is_stock"):
        trained.save(made.path)
        (made.path / "metrics.jsonl").unlink(missing_ok=True)
    else:
        _write_onnx(trained, work.folder / "draft", made, info)
    return {**facts["kept"], "num_parameters": facts["num_parameters"]}


def _write_onnx(trained: Trained, draft: Path, made: Bundle, info: dict[str, Any]) -> None:
    from yanmo.exporting.encoder import read_folder

    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    trained.save(draft)
    shutil.copyfile(draft / "tokenizer.json", made.path / "tokenizer.json")
    info["format"] = "onnx"
    write_graph(made.path, encoder_graph(made, read_folder(draft)))


def _recover(work: Work) -> Trained:
    """Return the encoder without the parts, trained on what the whole one answers."""
    from yanmo.modeling.pruned import Pruning, prune_network

    bundle, config, task = work.bundle, work.config, get_task(work.bundle.task)
    names = {field.name for field in fields(Pruning)}
    values = config.model_dump()
    options = Pruning(
        **{name: value for name, value in values.items() if name in names},
        is_uniform=config.uniform,
        num_texts=config.num_importance_texts,
    )
    if not config.num_epochs:
        values["precision"] = "fp32"  # there is no step that another one could make faster
    loop = {field.name: values[field.name] for field in fields(LoopSettings) if field.name in values}
    constant: dict[str, Any] = {
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "gradient_accumulation_steps": 1,
    }
    found = gather(work.dataset, (), ReadOptions(), "text", Altering())
    train = taught_texts(_labeled_texts(work, "train"), found.real, bundle.text_pipeline(), task)
    return prune_network(
        bundle.path,
        train,
        _labeled_texts(work, "valid"),
        options=options,
        network=NetworkSettings(
            bundle.labels,
            task.link,
            max_length=bundle.max_length,
            offline=True,
            teaching=Teaching(config.alpha, config.temperature) if config.num_epochs else None,
        ),
        loop=LoopSettings(**loop, **constant, early_stopping_patience=NEVER),
        measure=lambda logits_NC, targets_NC: measure_answers(task, task.link.activate(logits_NC), targets_NC),
        work_dir=work.folder,
        run_key=work.run_key,
        ask=functools.partial(_ask_whole, work, found, train) if config.num_epochs else None,
        tell=work.effects.tell,
    )


def _ask_whole(work: Work, found: Transfer, train: LabeledTexts) -> LabeledTexts:
    """Return the training and unlabelled texts with the whole model's answers, columns in the Bundle's order."""
    taught = ask(work.bundle, work.dataset, found, beside=work.folder, num_threads=work.config.num_threads)
    return replace(train, soft_NC=_to_bundle_order(work, taught.probabilities_NC))


def _labeled_texts(work: Work, name: str) -> LabeledTexts:
    """Return a split as the Bundle reads it, columns in the Bundle's label order."""
    bundle, split = work.bundle, load_split(work.dataset, name)
    pipeline = bundle.text_pipeline()
    columns = [pipeline.apply(column) for column in raw_columns(split.frame, get_task(bundle.task))]
    is_segmented = bundle.text_config.segmenter != "none"
    texts = Texts(columns[0], columns[1] if len(columns) == 2 else None, is_segmented)
    return LabeledTexts(texts, _to_bundle_order(work, split.targets_NC))


def _to_bundle_order(work: Work, columns_NC: FloatArray) -> FloatArray:
    ordered_NC = np.empty_like(columns_NC)
    ordered_NC[:, match_labels(work.bundle, work.dataset)] = columns_NC
    return ordered_NC


def _say_cost(work: Work, made: Bundle) -> dict[str, Any]:
    """Return what was lost on the validation split, and say it."""
    split = load_split(work.dataset, "valid")
    speed: dict[str, Any] = {"num_threads": work.config.num_threads, "measure_speed": False}
    before = run_bundle(work.bundle, work.dataset, split, **speed)
    after = run_bundle(made, work.dataset, split, **speed, verify_golden=False)
    found = compare(after.chosen_NC, before.chosen_NC, split.targets_NC, num_resamples=NUM_RESAMPLES, seed=0)
    drop, (low, high) = 0.0 - found["accuracy_difference"], found["accuracy_difference_interval"]
    size = sum(file.stat().st_size for file in made.path.rglob("*") if file.is_file())
    ratio = size / work.bundle.size_bytes
    logger.info("Accuracy on valid %.4f, before %.4f; size x %.3f.", found["accuracy"] - drop, found["accuracy"], ratio)
    return {
        "valid_accuracy": round(found["accuracy"] - drop, 6),
        "accuracy_drop": drop,
        "accuracy_drop_interval": (0.0 - high, 0.0 - low),
        "size_ratio": round(ratio, 4),
    }
