"""Stages made and measured one by one, each kept as soon as it is there, so that a killed grind loses at most one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import structs

from yanmo.artifacts.base import Artifact
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.placing import MANIFEST
from yanmo.combine.ensembling import Ensembler
from yanmo.compressing.token_lessons import teaches_tokens
from yanmo.errors import BusyError, ConfigError, DataError, ModelError, StoppedError, YanmoError
from yanmo.grinding.candidates import DATASET, TEACHER, Stage, placed
from yanmo.grinding.records import Clock, read_json, write_json
from yanmo.grinding.shapes import REPORT_MB
from yanmo.grinding.speeds import Meter
from yanmo.measuring.benchmarking.processes import run_child
from yanmo.measuring.benchmarking.requests import MeasureBundle
from yanmo.measuring.evaluation import Split, load_split, run_bundle
from yanmo.metrics.measures import compare, measure_with_intervals
from yanmo.modeling.settings import Teaching
from yanmo.models import LIGHT_FAMILIES
from yanmo.protocols import Task
from yanmo.tasks import task_of
from yanmo.verbs.calls import Call, InputPaths, run_call
from yanmo.verbs.distill import DistillConfig
from yanmo.verbs.signature import get_verb

__all__ = ["Bench", "describe", "finished"]

logger = logging.getLogger(__name__)

NUM_RESAMPLES = 2000
NUM_MEMORY_TEXTS = 512
MEMORY_SECONDS = 300.0
FINAL = (ConfigError, DataError, ModelError)
"""Why a stage cannot be made, now or later; a full disk or a missing package may be another time."""
ARITHMETIC = ("num_threads", "precision")
"""Config keys that bits depend on, which a verb settles by itself."""


@dataclass
class Bench:
    """What is there before any stage, and the folder in which everything is kept.

    Attributes:
        given: Name to Bundle, Dataset or paths, as stages name them: the teacher, whose headline the students are held
            against, the Dataset, whose validation split measures, and others.
        folder: The work folder.
        clock: Of the whole search.
        meter: Measures how fast Bundles are, with as many threads as trainings have.
        needs_memory: Whether memory is measured, each Bundle in a process of its own.
        effects: Who watches every training.
    """

    given: Mapping[str, Any]
    folder: Path
    clock: Clock
    meter: Meter
    needs_memory: bool = False
    effects: Effects = NO_EFFECTS
    _asked: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.teacher: Bundle = self.given[TEACHER]
        self.dataset: Dataset = self.given[DATASET]
        self.split = load_split(self.dataset, "valid")
        self.task = task_of(self.dataset)
        self.num_threads = self.meter.num_threads

    @property
    def teaching(self) -> Teaching | None:
        """How a language model teaches, which is asked in every step; None where answers are made beforehand."""
        usual = DistillConfig()
        is_asked = teaches_tokens(self.task)
        return Teaching(usual.alpha, usual.temperature, teacher_dir=self.teacher.path) if is_asked else None

    def bundle_dir(self, name: str) -> Path:
        """Return where a stage's Bundle stands."""
        return self.folder / "bundles" / name

    def bundle(self, name: str) -> Bundle:
        """Return a Bundle that is there: a stage's, the teacher, or a model in it."""
        found = self.given.get(name)
        return found if isinstance(found, Bundle) else Bundle.open(self.bundle_dir(name), verify=False)

    def is_begun(self, name: str) -> bool:
        """Return whether a stage has been begun, by this run or an earlier one."""
        return self._begun(name).is_file()

    def as_begun(self, stage: Stage) -> Stage:
        """Return a stage with the values that it was begun with, if it was."""
        values = read_json(self._begun(stage.name))
        return stage if values is None else stage.configured(values)

    def begin(self, stage: Stage) -> None:
        """Keep the values of a stage before it is made: its checkpoint can only go on with the same ones."""
        write_json(self._begun(stage.name), stage.call.config)

    def note_made(self, stage: Stage, seconds: float, failed: str | None = None) -> None:
        """Keep how long another process took for a stage, or why it can never be made.

        Args:
            stage: Which one.
            seconds: Of making it.
            failed: What the user is told.
        """
        row = {"name": stage.name, "verb": stage.call.verb, "student": stage.model, "seconds": seconds}
        write_json(self._measured(stage.name), row if failed is None else {**row, "failed": failed})

    def _measured(self, name: str) -> Path:
        return self.folder / "measured" / f"{name}.json"

    def _begun(self, name: str) -> Path:
        return self.folder / "begun" / f"{name}.json"

    def settled(self, stage: Stage) -> Stage:
        """Return a stage that is made with all values that its bits depend on."""
        bundle, known = self.bundle(stage.name), get_verb(stage.call.verb).config_class.model_fields
        # The manifest has it all the same, and a recipe that names it would be told that it has no effect.
        unused = ("precision",) if bundle.model in LIGHT_FAMILIES else ()
        config = {name: bundle.manifest.config.get(name) for name in ARITHMETIC if name in known and name not in unused}
        more = {name: value for name, value in config.items() if value is not None}
        return stage.configured({**stage.call.config, **more})

    def try_stage(self, stage: Stage) -> dict[str, Any]:
        """Return a stage's row, made and measured on first use; of one that cannot be made, why not.

        Raises:
            LateError: There was no time to end its training.
        """
        file, start, is_made = self._measured(stage.name), self.clock.seconds, False
        row = read_json(file) or {"name": stage.name, "verb": stage.call.verb, "student": stage.model}
        if "failed" in row:
            return row
        self.begin(stage)
        try:
            bundle = self._make(stage)
            is_made = True
            # Measured in two steps, as the budget for memory may come with a later run.
            if "drop" not in row:
                row |= {**self._measure(bundle), "seconds": row.get("seconds", 0.0) + self.clock.seconds - start}
                self.clock.save()
                write_json(file, row)
            if self.needs_memory and row["memory_mb"] is None:
                row["memory_mb"] = self.measure_memory(bundle)
                write_json(file, row)
        except (BusyError, StoppedError):
            raise
        except YanmoError as error:
            logger.warning("%s cannot be made: %s", stage.name, error.message)
            row["failed"] = error.message
            # What could be made, and not measured, may be measured another time.
            if isinstance(error, FINAL) and not is_made:
                write_json(file, row)
        return row

    def try_given(self, name: str) -> dict[str, Any]:
        """Return the row of a Bundle that is there as it is, measured on first use."""
        file = self._measured(name)
        row = read_json(file)
        if row is None:
            row = {"name": name, "verb": "", "student": "", **self._measure(self.bundle(name))}
            write_json(file, row)
        return row

    def speed(self, name: str) -> dict[str, Any]:
        """Return latency, throughput and rates of writing of a stage's Bundle, measured now."""
        return self.meter.measure(self.bundle(name), self.dataset)

    @cached_property
    def teacher_answers(self) -> Any:
        """What the teacher answers to the validation texts."""
        return self.answer(self.teacher, self.split)

    def answer(self, bundle: Bundle, split: Split) -> Any:
        """Return the evidence that a Bundle gives for a split."""
        options: dict[str, Any] = {"num_threads": self.num_threads, "measure_speed": False}
        return run_bundle(bundle, self.dataset, split, **options).evidence

    def mean_gain(self, names: Sequence[str]) -> float:
        """Return the headline of the mean of some stages' answers on the validation split, so that more is better."""
        headline = self.task.measures[0]
        mean = Ensembler(len(names)).combine([self._answers(name) for name in names], self.task)
        return headline.gain(headline.score(self.task.statistics(mean, self.split.targets)))

    def _answers(self, name: str) -> Any:
        # The same member stands in many means that are considered.
        if name not in self._asked:
            self._asked[name] = self.answer(self.bundle(name), self.split)
        return self._asked[name]

    def measure_memory(self, bundle: Bundle) -> float:
        """Return the most megabytes of a process of its own that answers with a Bundle."""
        request = MeasureBundle(
            bundle=str(bundle.path),
            items=self.split.items[:NUM_MEMORY_TEXTS],
            num_threads=self.num_threads,
            batch_sizes=(),
            lengths=(),
            quick=True,
        )
        facts, _ = run_child(request, timeout_seconds=MEMORY_SECONDS, report=_ignore)
        return float(facts["peak_memory_mb"])

    def _make(self, stage: Stage) -> Bundle:
        if not self.is_made(stage.name):
            run_call(structs.replace(self.call(stage), effects=self.effects.watched(self.clock.watch)))
        return Bundle.open(self.bundle_dir(stage.name))

    def is_made(self, name: str) -> bool:
        """Return whether a stage's Bundle is there, or it is one that was given."""
        return name in self.given or (self.bundle_dir(name) / MANIFEST).is_file()

    def call(self, stage: Stage) -> Call:
        """Return the call that makes a stage's Bundle in its place."""
        known = get_verb(stage.call.verb).config_class.model_fields
        config = stage.call.config | ({"num_threads": self.num_threads} if "num_threads" in known else {})
        return structs.replace(placed(stage.call, self._path), config=config, out=str(self.bundle_dir(stage.name)))

    def _path(self, name: str) -> InputPaths:
        """Return where something stands: what was given, or a stage's Bundle."""
        found = self.given.get(name)
        if isinstance(found, tuple):
            return tuple(map(str, found))
        return str(found.path if isinstance(found, Artifact) else found or self.bundle_dir(name))

    def _measure(self, bundle: Bundle) -> dict[str, Any]:
        row = describe(self.answer(bundle, self.split), self.teacher_answers, self.split, self.task)
        row |= {"model": bundle.model, "format": bundle.format, "size_mb": bundle.size_bytes / 1e6 + REPORT_MB}
        return row | self.meter.measure(bundle, self.dataset) | {"memory_mb": None}


def describe(ours: Any, theirs: Any, split: Split, task: Task[Any]) -> dict[str, Any]:
    """Return the headline, and what of it is lost against the teacher, with intervals.

    Args:
        ours: What the student answers.
        theirs: What the teacher answers.
        split: The rows.
        task: Says what is counted and measured.
    """
    headline = task.measures[0]
    ours_NS, theirs_NS = (task.statistics(one, split.targets) for one in (ours, theirs))
    found = compare(ours_NS, theirs_NS, (headline,), num_resamples=NUM_RESAMPLES, seed=0)[headline.name]
    measured = measure_with_intervals(ours_NS, (headline,), num_resamples=NUM_RESAMPLES, seed=0)[headline.name]
    return {
        headline.name: found.ours,
        f"{headline.name}_interval": measured.interval,
        f"teacher_{headline.name}": found.theirs,
        "drop": found.drop,
        "drop_interval": found.drop_interval,
        "drop_at_most": found.drop_interval[1],
        "num_rows": found.num_rows,
    }


def _ignore(_: str) -> None:
    """Take the name of a step, and do nothing with it."""


def finished(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of stages that could be made."""
    return [row for row in rows if "failed" not in row]
