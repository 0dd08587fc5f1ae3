"""train: one model on one Dataset to one Bundle; it fills in defaults, checks, trains and publishes, and knows no torch."""

import functools
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from yanmo.artifacts.base import Manifest, lock, publish, work_dir
from yanmo.artifacts.bundle import Bundle, write_golden
from yanmo.artifacts.card import CARD, render_card
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.identity import library_versions, stage_key
from yanmo.config import Config
from yanmo.errors import ConfigError, DataError
from yanmo.metrics import accuracy, label_counts, log_losses, macro_f1, micro_f1
from yanmo.models import FAMILY_DEFAULTS, ModelSpec, resolve, source_digest, unused_settings
from yanmo.protocols import FloatArray, Task
from yanmo.runtimes.predictor import Item, default_num_threads, open_bundle
from yanmo.tasks import get_task
from yanmo.verbs.signature import verb

__all__ = ["TrainConfig", "train"]

logger = logging.getLogger(__name__)

NUM_GOLDEN = 16
MAX_GOLDEN_CHARACTERS = 1000


class TrainConfig(Config):
    """Which model, and how it is trained; what is not given is the default of the model's family."""

    model: str = "ngram"
    """ngram, linear, textcnn, bilstm; bert, roberta, albert or electra with layers x width such as bert-4x312; a local
    folder; or a hub id."""

    max_length: int | None = Field(default=None, ge=4)
    """Most tokens that are read of a text, special tokens included."""

    vocab_size: int | None = Field(default=None, ge=16)
    """Most entries of the vocabulary that is trained from the texts."""

    learning_rate: float | None = Field(default=None, gt=0)
    """Peak of the schedule: it rises linearly, then falls linearly to zero."""

    batch_size: int | None = Field(default=None, ge=1)
    """Texts in a batch."""

    num_epochs: int | None = Field(default=None, ge=1)
    """Most passes over the training split."""

    warmup_ratio: float | None = Field(default=None, ge=0, le=1)
    """Share of all steps over which the learning rate rises."""

    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay of AdamW; biases and normalization layers have none."""

    max_grad_norm: float | None = Field(default=None, gt=0)
    """A longer gradient is scaled down to this length."""

    gradient_accumulation_steps: int | None = Field(default=None, ge=1)
    """Batches that make up one step of the optimizer."""

    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    """Share of each target that is spread over all classes."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: rare classes count more in the loss, so that all classes count alike."""

    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of the activations that is dropped in training."""

    eval_steps: int | None = Field(default=None, ge=1)
    """Evaluate on the validation split every so many steps; by default after each epoch."""

    save_steps: int | None = Field(default=None, ge=1)
    """Write a checkpoint every so many steps; by default every 30 seconds."""

    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better score."""

    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Seed of weights, dropout and the order of the texts."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of encoders: auto measures which one is faster where the processor has bf16 products."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""

    offline: bool = False
    """Refuse to load a model over the network."""


@dataclass(frozen=True)
class Split:
    """A split as training sees it.

    Attributes:
        raw: N texts, or pairs, as the Dataset holds them.
        cleaned: N cleaned first texts.
        cleaned_b: The second ones of pairs, or None.
        targets_NC: float32, shape (N, C).
    """

    raw: list[Item]
    cleaned: list[str]
    cleaned_b: list[str] | None
    targets_NC: FloatArray


@dataclass(frozen=True)
class Job:
    """Everything a trainer needs; the config has no None left that its family has a default for."""

    spec: ModelSpec
    config: TrainConfig
    task: Task
    labels: list[str]
    is_segmented: bool
    train: Split
    valid: Split
    work_dir: Path
    run_key: str

    def measure(self, logits_NC: FloatArray, targets_NC: FloatArray) -> dict[str, float]:
        """Return what is measured on the validation split."""
        probabilities_NC = self.task.activate(logits_NC)
        chosen_NC = self.task.choose(probabilities_NC)
        counts = label_counts(chosen_NC, targets_NC)
        loss = log_losses(probabilities_NC, targets_NC, exclusive=self.task.loss == "softmax").mean()
        return {
            "accuracy": accuracy(chosen_NC, targets_NC),
            "macro_f1": float(macro_f1(counts)),
            "micro_f1": float(np.nan_to_num(micro_f1(counts))),
            "loss": float(loss),
        }


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        save: Writes its files into a folder.
        scores: Of its weights on the validation split.
        architecture: What its code needs to build it.
        max_length: Most tokens of a text; 0 where all of it is read.
    """

    save: Callable[[Path], None]
    scores: dict[str, float]
    architecture: dict[str, Any]
    max_length: int


@verb
def train(dataset: Dataset, config: TrainConfig, *, out: Path) -> Bundle:
    """Train one model on a Dataset.

    The weights with the best score on the validation split are published. A run that was killed goes on from its last
    checkpoint when the same command is given again.

    Args:
        dataset: With the splits train and valid.
        config: Which model, and how it is trained.
        out: Where the Bundle appears.

    Raises:
        ModelError: There is no such model, or its training cannot go on.
        ConfigError: A setting does not suit the model.
        DataError: The Dataset cannot be learned from.
        BusyError: Another process trains there.
    """
    spec = resolve(config.model)
    if config.offline and spec.is_hub_id:
        raise ConfigError(
            f"The model {spec.name} would be loaded over the network, and offline is set.",
            hint="Give a local folder, or leave offline out.",
        )
    settled = _settle(config, spec)
    parents = {"dataset": dataset.digest, **({"checkpoint": source_digest(spec)} if spec.is_local else {})}
    plain = settled.model_dump(mode="json")
    with lock(work_dir(out)) as folder:
        job = _make_job(dataset, spec, settled, folder, stage_key("train", parents, plain))
        trained = _TRAINERS[spec.format](job)
        info = _info(job, trained, dataset)
        with publish(
            out,
            kind=Bundle.kind,
            verb="train",
            task=dataset.task,
            labels=dataset.labels,
            parents=parents,
            config=plain,
            seed=settled.seed,
            info=info,
        ) as staging:
            _fill(staging, job, trained, dataset, info)
        shutil.rmtree(folder, ignore_errors=True)
    return Bundle.open(out, verify=False)


def _settle(config: TrainConfig, spec: ModelSpec) -> TrainConfig:
    """Return the config with the family's defaults filled in, and say which given settings have no effect."""
    given = config.model_dump(exclude_none=True)
    for name in unused_settings(spec):
        if name in given:
            logger.warning("The '%s' parameter has no effect on the model %s.", name, spec.name)
    defaults = {name: value for name, value in asdict(FAMILY_DEFAULTS[spec.family]).items() if value is not None}
    threads = {"num_threads": default_num_threads()}
    return TrainConfig(**{**threads, **defaults, **given, "model": spec.name})


def _make_job(dataset: Dataset, spec: ModelSpec, config: TrainConfig, folder: Path, run_key: str) -> Job:
    task = get_task(dataset.task)
    splits = {name: _open_split(dataset, task, name) for name in ("train", "valid")}
    targets_NC = splits["train"].targets_NC
    if bool((targets_NC == targets_NC[0]).all()):
        raise DataError(
            f"All {len(targets_NC)} rows of the training split have the same label: there is nothing to learn.",
            hint="Give a Dataset with at least two labels.",
        )
    return Job(
        spec=spec,
        config=config,
        task=task,
        labels=dataset.labels,
        is_segmented=dataset.text_config.segmenter != "none",
        **splits,
        work_dir=folder,
        run_key=run_key,
    )


def _open_split(dataset: Dataset, task: Task, name: str) -> Split:
    """Return a split, cleaned and encoded.

    Raises:
        DataError: It is missing or empty.
    """
    rows = dataset.split(name) if name in dataset.splits else pl.DataFrame()
    if not rows.height:
        raise DataError(
            f"The Dataset {dataset.path} has no rows in its split '{name}'.",
            hint=f"Prepare it with a {name}_ratio above 0, or give prepare a file for the split.",
        )
    pipeline = dataset.text_pipeline()
    texts: list[str] = rows["text"].to_list()
    targets_NC = task.encode(rows["label"], dataset.labels)
    if task.num_texts == 1:
        return Split(list(texts), pipeline.apply(texts), None, targets_NC)
    texts_b: list[str] = rows["text_b"].to_list()
    pairs: list[Item] = list(zip(texts, texts_b, strict=True))
    return Split(pairs, pipeline.apply(texts), pipeline.apply(texts_b), targets_NC)


def _train_network(job: Job) -> Trained:
    """Train a network with the loop."""
    from yanmo.modeling.determinism import default_device, repeatable
    from yanmo.modeling.features import Examples
    from yanmo.modeling.loop import LoopSettings, Trainer, fit
    from yanmo.modeling.losses import LOSSES, balanced_class_weights
    from yanmo.modeling.trainables import Texts, TrainableSettings, make_trainable

    config = job.config
    device = default_device()
    columns = {name: Texts(one.cleaned, one.cleaned_b, job.is_segmented) for name, one in job.splits.items()}
    values = config.model_dump()
    weights_C = balanced_class_weights(job.train.targets_NC) if config.class_weights == "balanced" else None
    loss = functools.partial(LOSSES[job.task.loss], label_smoothing=config.label_smoothing, class_weights_C=weights_C)
