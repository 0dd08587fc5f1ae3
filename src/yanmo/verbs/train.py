"""train: one model on one Dataset to one Bundle; it fills in defaults, checks and publishes, and knows no torch."""

import contextlib
import importlib.util
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from yanmo.artifacts.base import Manifest, lock, publish, work_dir
from yanmo.artifacts.bundle import OUT_OF_FOLD, Bundle, write_golden
from yanmo.artifacts.card import CARD, render_card
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.identity import folder_digest, stage_key
from yanmo.artifacts.predictions import PREDICTIONS, Predictions, predictions_frame
from yanmo.artifacts.work import claim
from yanmo.bundling.starting import find_init, start_from
from yanmo.data.split import cut_folds
from yanmo.errors import ConfigError, DataError, MissingExtraError
from yanmo.integrations.tracking import tracked
from yanmo.machine import num_workers, worker_rank
from yanmo.measuring.inputs import profile_inputs
from yanmo.metrics import accuracy, label_counts, log_losses, macro_f1, micro_f1
from yanmo.modeling.folds import answer_out_of_fold
from yanmo.modeling.settings import LabeledTexts, LoopSettings, NetworkSettings, Texts, Trained
from yanmo.modeling.watching import watched
from yanmo.models import ModelSpec, default_settings, resolve, unsuited, unused_settings
from yanmo.protocols import FloatArray, IntArray, Task
from yanmo.runtimes.predictor import Item, default_num_threads, open_bundle
from yanmo.tasks import get_task
from yanmo.verbs.signature import verb
from yanmo.verbs.train_config import TrainConfig

__all__ = ["TrainConfig", "check_model", "train"]

logger = logging.getLogger(__name__)

NUM_GOLDEN = 16
MAX_GOLDEN_CHARACTERS = 1000
PACKAGES = {"torch": ("torch", "transformers"), "ngram": ("torch",), "linear": ("sklearn",)}
"""What training a format needs besides the core install."""


@dataclass(frozen=True)
class Job:
    """What every trainer is given; the config has a value wherever the model's family has a default."""

    spec: ModelSpec
    config: TrainConfig
    task: Task
    labels: list[str]
    train: LabeledTexts
    valid: LabeledTexts
    work_dir: Path
    run_key: str
    is_length_given: bool

    @property
    def network(self) -> NetworkSettings:
        """What decides the network and its loss."""
        config = self.config
        return NetworkSettings(
            labels=self.labels,
            loss=self.task.loss,
            max_length=config.max_length,
            is_length_given=self.is_length_given,
            vocab_size=config.vocab_size,
            dropout=config.dropout,
            label_smoothing=config.label_smoothing or 0.0,
            is_balanced=config.class_weights == "balanced",
            focal_gamma=config.focal_gamma,
            multi_sample_dropout=config.multi_sample_dropout,
            frozen_layers=config.frozen_layers,
            lora_rank=config.lora_rank,
            offline=config.offline,
        )

    def measure(self, logits_NC: FloatArray, targets_NC: FloatArray) -> dict[str, float]:
        """Return what is measured on the validation split."""
        probabilities_NC = self.task.activate(logits_NC)
        chosen_NC = self.task.choose(probabilities_NC)
        counts = label_counts(chosen_NC, targets_NC)
        losses_N = log_losses(probabilities_NC, targets_NC, exclusive=self.task.loss == "softmax")
        scores = {
            "accuracy": accuracy(chosen_NC, targets_NC),
            "macro_f1": macro_f1(counts),
            "micro_f1": micro_f1(counts),
            "loss": losses_N.mean(),
        }
        return {name: float(np.nan_to_num(score)) for name, score in scores.items()}


@verb
def train(dataset: Dataset, config: TrainConfig, *, init: Bundle | None = None, out: Path) -> Bundle:
    """Train one model on a Dataset.

    The weights with the best score on the validation split are published. A run that was killed goes on from its last
    checkpoint when the same command is given again, and SIGTERM makes it write one first. Under torchrun the workers
    share every batch.

    Args:
        dataset: With the splits train and valid.
        config: Which model, and how it is trained.
        init: An encoder to begin with, from pretrain, with its tokenizer; its model is the default of ``model``.
        out: Where the Bundle appears.

    Raises:
        ModelError: There is no such model, or its training cannot go on.
        ConfigError: A setting does not suit the model, or has changed since the checkpoint.
        DataError: The Dataset cannot be learned from.
        BusyError: Another process trains there.
        StoppedError: SIGTERM came; a checkpoint was written.
        MissingExtraError: The packages that train are not installed.
    """
    init = init or find_init(config.model)
    spec = start_from(init, config.model if "model" in config.model_fields_set else None, dataset) if init else None
    spec = spec or check_model(config)
    settled = _settle(config, spec, dataset)
    parents = {"dataset": dataset.digest} | ({"init": init.digest} if init else {})
    if spec.is_local and not init:
        parents["checkpoint"] = folder_digest(Path(spec.source))
    plain = settled.model_dump(mode="json")
    run_key = stage_key("train", parents, plain)
    with _held(work_dir(out)) as folder:
        if not worker_rank():
            claim(folder, parents=parents, config=plain, fork=config.fork)
        job = _make_job(dataset, spec, settled, folder, run_key, is_length_given=config.max_length is not None)
        answers_NC = _answer_out_of_fold(job, dataset) if settled.folds else None
        with tracked(None if worker_rank() else config.tracker, name=out.name, work_dir=folder) as run:
            with watched(run.watch):
                trained = _TRAINERS[spec.format](job)
            if not worker_rank():
                _publish(trained, job, dataset, parents, out, answers_NC)
                run.finish(plain, trained.scores, out)
        if not worker_rank():
            shutil.rmtree(folder, ignore_errors=True)
    _wait_for_workers()
    return Bundle.open(out, verify=False)


def _held(folder: Path) -> contextlib.AbstractContextManager[Path]:
    """Hold the work folder; the other workers of one training work in the folder that the first one holds."""
    return contextlib.nullcontext(folder) if worker_rank() else lock(folder)


def _wait_for_workers() -> None:
    """Let the workers end together, once the Bundle stands."""
    if num_workers() > 1:
        from yanmo.modeling import workers

        workers.wait_for_all()


def check_model(config: TrainConfig) -> ModelSpec:
    """Return what the model's name means, after checking that it can be trained here.

    Raises:
        ModelError: There is no such model.
        ConfigError: It would be loaded over the network, but offline is set; or a setting does not suit it.
        MissingExtraError: The packages that train it are not installed.
    """
    spec = resolve(config.model)
    if config.offline and spec.is_hub_id:
        raise ConfigError(
            f"The model {spec.name} would be loaded over the network, but offline is set.",
            hint="Give a local folder, or leave offline out.",
        )
    found = unsuited(spec, config.model_dump())
    if found:
        raise ConfigError(
            f"The '{found}' parameter of train does not suit the model {spec.name}: it has no layers of its own.",
            hint=f"Leave {found} out, or choose a model with layers, such as bert-4x312 or a pretrained one.",
        )
    if num_workers() > 1 and (config.folds or spec.family == "linear"):
        raise ConfigError(
            f"Several workers cannot train {'folds' if config.folds else 'the model linear'} together.",
            hint="Start the command without torchrun.",
        )
    for package in PACKAGES[spec.format]:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(f"The training of {spec.name}", package=package, extra="train")
    return spec


def _settle(config: TrainConfig, spec: ModelSpec, dataset: Dataset) -> TrainConfig:
    """Return the config with the family's defaults filled in, and say which given settings have no effect."""
    given = config.model_dump(exclude_none=True, exclude_unset=True)
    for name in unused_settings(spec):
        if not (name == "seed" and config.folds) and given.pop(name, None) is not None:
            logger.warning("The '%s' parameter has no effect on the model %s.", name, spec.name)
    num_rows = dataset.split("train").height if "train" in dataset.splits else 0
    defaults = asdict(default_settings(spec.family, max(num_rows, 1)))
    known = {name: value for name, value in defaults.items() if value is not None}
    return TrainConfig(**{"num_threads": default_num_threads(), **known, **given, "model": spec.name})


def _make_job(
    dataset: Dataset, spec: ModelSpec, config: TrainConfig, folder: Path, run_key: str, *, is_length_given: bool
) -> Job:
    task = get_task(dataset.task)
    train_texts, valid_texts = (_labeled_texts(dataset, task, name) for name in ("train", "valid"))
    targets_NC = train_texts.targets_NC
    if bool((targets_NC == targets_NC[0]).all()):
        raise DataError(
            f"All {len(targets_NC)} rows of the training split have the same label: there is nothing to learn.",
            hint="Give a Dataset with at least two labels.",
        )
    return Job(spec, config, task, dataset.labels, train_texts, valid_texts, folder, run_key, is_length_given)


def _labeled_texts(dataset: Dataset, task: Task, name: str) -> LabeledTexts:
    """Return a split, cleaned and encoded.

    Raises:
        DataError: It is missing or empty.
    """
    rows = dataset.split(name) if name in dataset.splits else None
    if rows is None or not rows.height:
        raise DataError(
            f"The Dataset {dataset.path} has no rows in its split '{name}', which training needs.",
            hint=f"Prepare it with a larger {name}_ratio, or give prepare a file for that split."
            if name != "train"
            else "Prepare it from more rows.",
        )
    pipeline = dataset.text_pipeline()
    columns = [pipeline.apply(column) for column in _raw_columns(rows, task)]
    is_segmented = dataset.text_config.segmenter != "none"
    texts = Texts(columns[0], columns[1] if task.num_texts == 2 else None, is_segmented)
    return LabeledTexts(texts, task.encode(rows["label"], dataset.labels), rows["id"].cast(pl.String).to_list())


def _raw_columns(rows: pl.DataFrame, task: Task) -> list[list[str]]:
    return [rows[name].to_list() for name in ("text", "text_b")[: task.num_texts]]


def _train_network(job: Job) -> Trained:
    from yanmo.modeling.networks import train_network

    names = {field.name for field in fields(LoopSettings)}
    values = {name: value for name, value in job.config.model_dump().items() if name in names}
    return train_network(
        job.spec,
        job.train,
        job.valid,
        network=job.network,
        loop=LoopSettings(**values),
        measure=job.measure,
        work_dir=job.work_dir,
        run_key=job.run_key,
    )


def _train_linear(job: Job) -> Trained:
    from yanmo.modeling.linear_model import train_linear

    num_threads = job.config.num_threads or 1
    return train_linear(job.train, job.valid, network=job.network, measure=job.measure, num_threads=num_threads)


_TRAINERS: dict[str, Callable[[Job], Trained]] = {
    "torch": _train_network,
    "ngram": _train_network,
    "linear": _train_linear,
}


def _answer_out_of_fold(job: Job, dataset: Dataset) -> FloatArray:
    """Return the answer to every training row by a model that has learned from no row of the same text."""
    rows = dataset.split("train")
    first, second = job.train.texts.first, job.train.texts.second
    keys = list(first) if second is None else [f"{one}\x1e{other}" for one, other in zip(first, second, strict=True)]
    fold_N = cut_folds(keys, rows["label"], job.config.folds or 0, job.config.seed)
    items = _items(rows, job.task)

    def answer(learned: IntArray, held: IntArray, folder: Path, run_key: str) -> FloatArray:
        fold = replace(job, train=job.train.take(learned), work_dir=folder, run_key=run_key)
        trained, draft = _TRAINERS[job.spec.format](fold), folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        bundle = _write_model(trained, draft, dataset, _identity(trained, job, dataset))
        with open_bundle(bundle, num_threads=job.config.num_threads, verify_golden=False) as predictor:
            return predictor.predict_proba([items[row] for row in held.tolist()])

    return answer_out_of_fold(fold_N, len(dataset.labels), answer, work_dir=job.work_dir, run_key=job.run_key)


def _identity(trained: Trained, job: Job, dataset: Dataset) -> dict[str, Any]:
    """Return what the manifest of the Bundle says besides its config."""
    info = {
        "format": job.spec.format,
        "model": job.spec.name,
        "max_length": trained.max_length,
        "architecture": trained.architecture,
        "text": dataset.text_config.model_dump(mode="json"),
        "summary": {f"valid_{name}": round(score, 6) for name, score in trained.scores.items()},
    }
    return {"kind": Bundle.kind, "task": dataset.task, "labels": dataset.labels, "info": info}


def _write_model(trained: Trained, folder: Path, dataset: Dataset, identity: dict[str, Any]) -> Bundle:
    """Write what the model needs to answer, and return it as a Bundle that has no manifest yet."""
    trained.save(folder)
    if dataset.user_dict_path:
        shutil.copyfile(dataset.user_dict_path, folder / dataset.user_dict_path.name)
    return Bundle(folder, Manifest(parents={}, config={}, versions={}, key="", files={}, **identity), "")


def _publish(
    trained: Trained,
    job: Job,
    dataset: Dataset,
    parents: dict[str, str],
    out: Path,
    out_of_fold_NC: FloatArray | None,
) -> None:
    """Make the Bundle appear at ``out``."""
    settled = {"precision": trained.precision, "max_length": trained.max_length or None}
    config = {**job.config.model_dump(mode="json"), **settled}
    identity = _identity(trained, job, dataset)
    seed = None if "seed" in unused_settings(job.spec) else job.config.seed
    with publish(out, verb="train", parents=parents, config=config, seed=seed, **identity) as staging:
        bundle = _write_model(trained, staging, dataset, identity)
        card = render_card(
            model=job.spec.name,
            format=job.spec.format,
            task=dataset.task,
            labels=dataset.labels,
            max_length=trained.max_length,
            text=dataset.text_config,
            dataset_digest=dataset.digest,
            scores=trained.scores,
        )
        (staging / CARD).write_text(card, encoding="utf-8")
        if out_of_fold_NC is not None:
            _write_out_of_fold(out_of_fold_NC, job, dataset, parents, staging / OUT_OF_FOLD)
        _write_golden(bundle, dataset, job.task)
        identity["info"] |= profile_inputs(bundle, dataset)


def _write_out_of_fold(answers_NC: FloatArray, job: Job, dataset: Dataset, parents: dict[str, str], out: Path) -> None:
    """Write whole Predictions over the training rows into the Bundle."""
    config = job.config.model_dump(mode="json")
    ids, answers = dataset.split("train")["id"], job.task.answer(answers_NC, dataset.labels)
    identity: dict[str, Any] = {"kind": Predictions.kind, "task": dataset.task, "labels": dataset.labels}
    with publish(out, verb="train", parents=parents, config=config, seed=job.config.seed, **identity) as staging:
        predictions_frame(ids, *answers, answers_NC).write_parquet(staging / PREDICTIONS, statistics=False)


def _items(rows: pl.DataFrame, task: Task) -> list[Item]:
    columns = _raw_columns(rows, task)
    return list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))


def _write_golden(bundle: Bundle, dataset: Dataset, task: Task) -> None:
    """Write examples from the shortest to the longest validation texts, with what the Bundle itself answers."""
    rows = dataset.split("valid").filter(pl.col("text").str.len_chars() <= MAX_GOLDEN_CHARACTERS)
    rows = rows.sort(pl.col("text").str.len_chars(), maintain_order=True)
    places = np.unique(np.linspace(0, max(rows.height - 1, 0), NUM_GOLDEN).round().astype(np.int64))
    chosen = rows[places.tolist()] if rows.height else rows
    columns, items = _raw_columns(chosen, task), _items(chosen, task)
    with open_bundle(bundle, verify_golden=False) as predictor:
        probabilities_NC = predictor.predict_proba(items)
    write_golden(bundle.path, columns[0], columns[1] if len(columns) == 2 else None, probabilities_NC)
