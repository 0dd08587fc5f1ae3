"""How fast students of a shape are on this machine, before any is trained: random weights in 8 bits, a few texts.

A shape that is too slow is never trained. The size is a lower bound, since the vocabulary is that of few texts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yanmo.artifacts.base import MANIFEST, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.bundling.train_config import TrainConfig
from yanmo.bundling.training import learn, make_job, publish_trained, settle
from yanmo.grinding.candidates import file_name
from yanmo.measuring.evaluation import load_split, run_bundle
from yanmo.models import ModelSpec
from yanmo.verbs.signature import get_verb

__all__ = ["few_rows", "measure_shape"]

NUM_ROWS = 2000
NUM_VALID_ROWS = 256
GATE: dict[str, Any] = {"max_drop": 1.0, "num_valid_texts": 32}
"""Random weights have no accuracy to lose."""
NUM_CALIBRATION_TEXTS = 32


def few_rows(dataset: Dataset, out: Path) -> Dataset:
    """Return a Dataset of few rows, made on first use."""
    if not (out / MANIFEST).is_file():
        identity: dict[str, Any] = {"kind": Dataset.kind, "task": dataset.task, "labels": dataset.labels}
        parents = {"dataset": dataset.digest}
        with publish(
            out, verb="prepare", **identity, parents=parents, config={}, info=dataset.manifest.info
        ) as staging:
            for name, num_rows in (("train", NUM_ROWS), ("valid", NUM_VALID_ROWS)):
                rows = dataset.split(name)
                rows.sample(min(num_rows, rows.height), seed=0).write_parquet(staging / f"{name}.parquet")
            if dataset.user_dict_path:
                (staging / dataset.user_dict_path.name).write_bytes(dataset.user_dict_path.read_bytes())
    return Dataset.open(out)


def measure_shape(spec: ModelSpec, few: Dataset, folder: Path, num_threads: int | None) -> dict[str, Any]:
    """Return latency, throughput and size of a shape in 8 bits, measured once.

    Args:
        spec: The student.
        few: From :func:`few_rows`.
        folder: Where Bundles and measurements are kept.
        num_threads: Of the engine.
    """
    file = folder / f"{file_name(spec)}.json"
    if not file.is_file():
        bundle = _int8(spec, few, folder)
        outcome = run_bundle(bundle, few, load_split(few, "valid"), num_threads=num_threads)
        row = {
            "name": spec.name,
            "latency_ms": outcome.facts["latency_ms"]["p50"],
            "throughput": outcome.facts["throughput_texts_per_second"],
            "size_mb": bundle.size_bytes / 1e6,
        }
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(row), encoding="utf-8")
        partial.replace(file)
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _int8(spec: ModelSpec, few: Dataset, folder: Path) -> Bundle:
    name = file_name(spec)
    untrained, out = folder / f"{name}-untrained", folder / f"{name}-int8"
    if not (untrained / MANIFEST).is_file():
        settled = settle(TrainConfig(model=spec.name), spec, NUM_ROWS).model_copy(update={"num_epochs": 0})
        work = folder / f"{name}-work"
        work.mkdir(parents=True, exist_ok=True)
        job = make_job(few, spec, settled, work, "shape", is_length_given=False)
        publish_trained(learn(job), job, few, parents={"dataset": few.digest}, out=untrained)
    if not (out / MANIFEST).is_file():
        is_light = spec.format != "torch"
        more: dict[str, Any] = {} if is_light else {"num_calibration_texts": NUM_CALIBRATION_TEXTS}
        get_verb("quantize")(untrained, few, **GATE, **more, out=out)
    return Bundle.open(out)
