"""Stages made and measured one by one, each kept as soon as it is there, so that a killed grind loses at most one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.artifacts.base import MANIFEST
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.errors import BusyError, StoppedError, YanmoError
from yanmo.grinding.candidates import DATASET, INIT, TEACHER, Stage
from yanmo.measuring.benchmarking.processes import run_child
from yanmo.measuring.benchmarking.requests import MeasureBundle
from yanmo.measuring.evaluation import Split, load_split, run_bundle
from yanmo.metrics import wilson_interval
from yanmo.reporting.quality import compare
from yanmo.runtimes.predictor import default_num_threads
from yanmo.verbs.signature import get_verb

__all__ = ["Bench", "describe", "finished"]

logger = logging.getLogger(__name__)

NUM_RESAMPLES = 2000
NUM_MEMORY_TEXTS = 512
MEMORY_SECONDS = 300.0
SLOWER = 1.05


@dataclass
class Bench:
    """The teacher, the Dataset, and the folder in which everything is kept.

    Attributes:
        teacher: Whose accuracy the students are held against.
        dataset: Its validation split measures.
        folder: The work folder.
        num_threads: Of the engines.
        needs_memory: Whether memory is measured, each Bundle in a process of its own.
        init: The pre-trained encoder that the student of its shape begins with.
    """

    teacher: Bundle
    dataset: Dataset
    folder: Path
    num_threads: int | None
    needs_memory: bool
    init: Bundle | None = None

    def __post_init__(self) -> None:
        (self.folder / "bundles").mkdir(exist_ok=True)
        (self.folder / "measured").mkdir(exist_ok=True)
        self._split = load_split(self.dataset, "valid")
        self._theirs: npt.NDArray[np.bool_] | None = None
        self._seconds = 0.0

    def bundle_dir(self, name: str) -> Path:
        """Return where a stage's Bundle stands."""
        return self.folder / "bundles" / name

    def spent_seconds(self) -> float:
        """Return the time that all trials have taken so far, those of earlier runs, too."""
        files = (self.folder / "measured").glob("*.json")
        return float(sum(json.loads(file.read_text("utf-8"))["seconds"] for file in files))

    def try_stage(self, stage: Stage) -> dict[str, Any]:
        """Return a stage's row, made and measured on first use; of one that cannot be made, why not."""
        file = self.folder / "measured" / f"{stage.name}.json"
        if not file.is_file():
            start = time.monotonic()
            try:
                row = self._measure(stage, self._make(stage))
            except (BusyError, StoppedError):
                raise
            except YanmoError as error:
                logger.warning("%s cannot be made: %s", stage.name, error.message)
                row = {"failed": error.message}
            row = {"name": stage.name, "verb": stage.verb, **row, "seconds": time.monotonic() - start}
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(row), encoding="utf-8")
            partial.replace(file)
        return dict(json.loads(file.read_text(encoding="utf-8")))

    def _make(self, stage: Stage) -> Bundle:
        out = self.bundle_dir(stage.name)
        if not (out / MANIFEST).is_file():
            inputs = {name: self._open(value) for name, value in stage.inputs.items()}
            verb = get_verb(stage.verb)
            ordered = [inputs[one.name] for one in verb.inputs if one.name in inputs]
            threads: dict[str, Any] = {"num_threads": self.num_threads} if self.num_threads else {}
            verb(*ordered, **stage.values, **threads, out=out)
        return Bundle.open(out)

    def _open(self, value: str | tuple[str, ...]) -> Any:
        if not isinstance(value, str):
            return [self._open(one) for one in value]
        known: dict[str, Any] = {TEACHER: self.teacher, DATASET: self.dataset, INIT: self.init}
        return known.get(value) or self.bundle_dir(value)

    def _measure(self, stage: Stage, bundle: Bundle) -> dict[str, Any]:
        outcome = run_bundle(bundle, self.dataset, self._split, num_threads=self.num_threads)
        row = describe(outcome.chosen_NC, self.teacher_choices(), self._split)
        row |= {
            "model": bundle.model,
            "format": bundle.format,
            "latency_ms": outcome.facts["latency_ms"]["p50"],
            "throughput": outcome.facts["throughput_texts_per_second"],
            "size_mb": bundle.size_bytes / 1e6,
            "memory_mb": self._memory(bundle) if self.needs_memory else None,
        }
        return row | {"worse": self._worse(stage, row)}

    @property
    def teacher_seconds(self) -> float:
        """About how long the teacher takes for a text, among many."""
        num_texts = len(self.teacher_choices())
        return self._seconds / num_texts

    def teacher_choices(self) -> npt.NDArray[np.bool_]:
        """Return the labels that the teacher gives the validation texts."""
        if self._theirs is None:
            start = time.monotonic()
            found = run_bundle(
                self.teacher, self.dataset, self._split, num_threads=self.num_threads, measure_speed=False
            )
            self._theirs, self._seconds = found.chosen_NC, time.monotonic() - start
        return self._theirs

    def _memory(self, bundle: Bundle) -> float:
        request = MeasureBundle(
            bundle=str(bundle.path),
            items=self._split.items[:NUM_MEMORY_TEXTS],
            num_threads=self.num_threads or default_num_threads(),
            batch_sizes=(),
            lengths=(),
            quick=True,
        )
        facts, _ = run_child(request, timeout_seconds=MEMORY_SECONDS, report=_ignore)
        return float(facts["peak_memory_mb"])

    def _worse(self, stage: Stage, row: Mapping[str, Any]) -> list[str]:
        """Return in what a stage is worse than the one it was made from."""
        if stage.verb == "cascade" or not stage.parents:
            return []
        file = self.folder / "measured" / f"{stage.parents[0]}.json"
        if not file.is_file():
            return []
        before = json.loads(file.read_text(encoding="utf-8"))
        checks = {
            "slower": row["latency_ms"] > SLOWER * before["latency_ms"],
            "larger": row["size_mb"] > before["size_mb"],
            "less accurate": row["accuracy"] < before["accuracy"],
        }
        return [name for name, is_so in checks.items() if is_so]


def describe(ours_NC: npt.NDArray[np.bool_], theirs_NC: npt.NDArray[np.bool_], split: Split) -> dict[str, Any]:
    """Return accuracy, and what is lost against the teacher, with intervals.

    Args:
        ours_NC: The labels the student gave.
        theirs_NC: Those the teacher gave.
        split: The rows.
    """
    found = compare(ours_NC, theirs_NC, split.targets_NC, num_resamples=NUM_RESAMPLES, seed=0)
    low, high = found["accuracy_difference_interval"]
    num_rows = len(split.targets_NC)
    accuracy = found["accuracy"] + found["accuracy_difference"]
    return {
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(round(accuracy * num_rows), num_rows),
        "teacher_accuracy": found["accuracy"],
        "drop": 0.0 - found["accuracy_difference"],
        "drop_interval": (0.0 - high, 0.0 - low),
        "drop_at_most": 0.0 - low,
        "num_rows": num_rows,
    }


def _ignore(_: str) -> None:
    """Take the name of a step, and do nothing with it."""


def finished(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of stages that could be made."""
    return [row for row in rows if "failed" not in row]
