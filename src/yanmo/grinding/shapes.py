"""How fast and how large Bundles are before they are made: shapes with random weights, and what is there already.

A shape that is too slow is never trained. The size is a lower bound, since the vocabulary is that of few texts.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.parquet import write_parquet
from yanmo.artifacts.placing import MANIFEST
from yanmo.exchanging.decoder_bundle import holds_decoder
from yanmo.family_settings import unused_settings
from yanmo.grinding.candidates import file_name
from yanmo.grinding.records import read_json, write_json
from yanmo.grinding.speeds import Meter
from yanmo.modeling.settings import Teaching
from yanmo.models import ModelSpec
from yanmo.tasks import task_of
from yanmo.training.job import learn, make_job, settle
from yanmo.training.publishing import publish_trained
from yanmo.training.train_config import TrainConfig
from yanmo.verbs.calls import call_of, run_call

__all__ = ["REPORT_MB", "few_rows", "measure_shape", "measure_what_is_there", "time_training"]

REPORT_MB = 0.25
"""What the Report of the search adds to the winner's folder at most; what may become it is measured as if it had it."""
NUM_ROWS = 2000
NUM_VALID_ROWS = 256
GATE: dict[str, Any] = {"max_drop": 1.0, "num_valid_texts": 32}
"""Random weights have no accuracy to lose."""
NUM_CALIBRATION_TEXTS = 32


def few_rows(dataset: Dataset, out: Path) -> Dataset:
    """Return a Dataset of few rows, made on first use."""
    if not (out / MANIFEST).is_file():
        identity = Identity(
            kind=Dataset.kind,
            verb="prepare",
            task=dataset.task,
            labels=dataset.labels,
            parents={"dataset": dataset.digest},
            info=dataset.manifest.info,
        )
        with publish(out, identity) as staging:
            for name, num_rows in (("train", NUM_ROWS), ("valid", NUM_VALID_ROWS)):
                rows = dataset.split(name)
                # At random, as files are often sorted; with a fixed seed, so that shapes are measured on the same rows.
                write_parquet(rows.sample(min(num_rows, rows.height), seed=0), staging / f"{name}.parquet")
            if dataset.user_dict_path:
                (staging / dataset.user_dict_path.name).write_bytes(dataset.user_dict_path.read_bytes())
            if dataset.glossary_path:
                (staging / dataset.glossary_path.name).write_bytes(dataset.glossary_path.read_bytes())
    return Dataset.open(out)


def measure_what_is_there(name: str, bundle: Bundle, few: Dataset, folder: Path, meter: Meter) -> dict[str, Any]:
    """Return latency, throughput and size of a Bundle as it is, measured once.

    Args:
        name: Of the row.
        bundle: The teacher, or a model in it.
        few: From :func:`few_rows`.
        folder: Where measurements are kept.
        meter: Measures.
    """
    file = folder / f"{name}.json"
    row = read_json(file)
    if row is None:
        row = {"name": name, **meter.measure(bundle, few), "size_mb": bundle.size_bytes / 1e6}
        write_json(file, row)
    return row


def measure_shape(
    spec: ModelSpec,
    few: Dataset,
    folder: Path,
    meter: Meter,
    *,
    effects: Effects,
    teaching: Teaching | None = None,
) -> dict[str, Any]:
    """Return latency, throughput and size of a shape in 8 bits, measured once.

    Args:
        spec: The student.
        few: From :func:`few_rows`.
        folder: Where Bundles and measurements are kept.
        meter: Measures.
        effects: Who watches.
        teaching: By a language model, whose tokenizer a shape takes over.
    """
    file = folder / f"{file_name(spec)}.json"
    row = read_json(file)
    if row is None:
        bundle = _int8(spec, few, folder, meter.num_threads, effects, teaching)
        row = {"name": spec.name, **meter.measure(bundle, few), "size_mb": bundle.size_bytes / 1e6 + REPORT_MB}
        write_json(file, row)
    return row


def time_training(
    spec: ModelSpec,
    row: Mapping[str, Any],
    few: Dataset,
    folder: Path,
    *,
    num_threads: int,
    num_texts: int,
    effects: Effects,
    teaching: Teaching | None = None,
) -> dict[str, Any]:
    """Return the row of a shape with ``train_seconds_per_text``: of one text in one pass, measured once.

    It is the second of two passes over few rows, with the evaluation at its end, in steps as large as the real ones; of
    what is counted the only one.

    Args:
        spec: The student.
        row: From :func:`measure_shape`.
        few: From :func:`few_rows`.
        folder: Where measurements are kept.
        num_threads: Threads that train.
        num_texts: That the student will learn from.
        effects: Who else watches.
        teaching: By a language model that is asked in every step.
    """
    if "train_seconds_per_text" in row:
        return dict(row)
    ends: list[float] = [time.monotonic()]

    def note(record: Mapping[str, Any]) -> None:
        if "valid_loss" in record:
            ends.append(time.monotonic())

    settled = settle(TrainConfig(model=spec.name, num_threads=num_threads), spec, num_texts, task_of(few))
    # With patience for both passes: the first one also pays for caches and compiling, so the second one is timed.
    settled = settled.model_copy(update={"num_epochs": 2, "early_stopping_patience": 2})
    work = folder / f"{file_name(spec)}-timed"
    # A training that was cut off would go on and be timed from its middle.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    job = replace(make_job(few, spec, settled, work, "timed", is_length_given=False), teaching=teaching)
    learn(job, tell=effects.watched(note).tell)
    shutil.rmtree(work)
    timed = {**row, "train_seconds_per_text": (ends[-1] - ends[-2]) / few.split("train").height}
    write_json(folder / f"{file_name(spec)}.json", timed)
    return timed


def _int8(
    spec: ModelSpec, few: Dataset, folder: Path, num_threads: int, effects: Effects, teaching: Teaching | None
) -> Bundle:
    name = file_name(spec)
    untrained, out = folder / f"{name}-untrained", folder / f"{name}-int8"
    if not (untrained / MANIFEST).is_file():
        # auto would time both arithmetics, for a training without a step.
        arithmetic: dict[str, Any] = {} if "precision" in unused_settings(spec) else {"precision": "fp32"}
        config = TrainConfig(model=spec.name, num_threads=num_threads, **arithmetic)
        settled = settle(config, spec, NUM_ROWS, task_of(few)).model_copy(update={"num_epochs": 0})
        work = folder / f"{name}-work"
        work.mkdir(parents=True, exist_ok=True)
        job = replace(make_job(few, spec, settled, work, "shape", is_length_given=False), teaching=teaching)
        publish_trained(learn(job, tell=effects.tell), job, few, parents={"dataset": few.digest}, out=untrained)
    if spec.is_born_small:
        return Bundle.open(untrained)
    if not (out / MANIFEST).is_file():
        # Models that are light or write have no activations to calibrate, and would say that the key has no effect.
        is_graph = spec.format == "torch" and not holds_decoder(Bundle.open(untrained))
        more: dict[str, Any] = {"num_calibration_texts": NUM_CALIBRATION_TEXTS} if is_graph else {}
        gate = {**GATE, **more, "num_threads": num_threads}
        run_call(call_of("quantize", {"bundle": untrained, "dataset": few}, gate, out=out))
    return Bundle.open(out)
