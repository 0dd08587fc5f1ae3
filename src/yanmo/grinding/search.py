"""What a search has found so far, and whether there is time for one more stage; it does not know which comes next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yanmo.compressing.transfer_texts import Transfer
from yanmo.family_settings import default_settings
from yanmo.grinding.budget import Budget, costs_only, misses
from yanmo.grinding.candidates import Stage
from yanmo.grinding.records import LateError
from yanmo.grinding.trials import Bench
from yanmo.models import ModelSpec
from yanmo.verbs.prune import PruneConfig

__all__ = ["Search", "attempt", "needed_seconds", "num_passes", "pass_seconds"]

logger = logging.getLogger(__name__)

SAFETY = 1.2
"""A training may take so many times what its first steps promise."""
TRAINING_COST = 4.0
"""A text in training costs an encoder so many answers: backward takes two products for each one of forward (Kaplan et
al. 2020, section 2.1, arXiv:2001.08361), the optimizer and the shorter batches the rest."""


@dataclass
class Search:
    """What is searched, and what has been found.

    Attributes:
        bench: Makes and measures.
        budget: What the Bundle may cost.
        students: Name to model.
        texts: What the students learn from.
        values: Of distill.
        present: A row for the teacher, and for each model in it, as they are.
        ready: A row, as of a stage, for each model in the teacher that is in 8 bits already.
        shapes: A row for each student's shape, untrained.
        rows: A row for each stage, in the order in which they were tried.
        stages: The stages of the rows.
        skipped: What was not tried, and why.
        late: What there was no time for.
    """

    bench: Bench
    budget: Budget
    students: Mapping[str, ModelSpec]
    texts: Transfer
    values: Mapping[str, Any]
    present: list[dict[str, Any]] = field(default_factory=list)
    ready: list[dict[str, Any]] = field(default_factory=list)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)

    def row(self, name: str) -> dict[str, Any] | None:
        """Return the row of a stage that could be made, or of a model that is ready."""
        rows = (*self.ready, *self.rows)
        return next((row for row in rows if row["name"] == name and "failed" not in row), None)

    def costs_too_much(self, row: Mapping[str, Any], *, gain: float = 1.0) -> dict[str, float]:
        """Return what a row costs too much, even if it became so many times faster and smaller."""
        return misses(self.budget, costs_only(row), tolerance=gain)

    def fits(self, size_mb: float) -> bool:
        """Return whether a Bundle of some size, with its Report, is small enough."""
        return self.budget.max_size_mb is None or size_mb <= self.budget.max_size_mb


def attempt(search: Search, stage: Stage) -> None:
    """Make and measure a stage, unless that was done, what it takes could not be made, or there is no time."""
    # As it was begun, even if there is other time now: a checkpoint goes on with its own settings only.
    bench, stage = search.bench, search.bench.as_begun(stage)
    is_known = stage.name in {one.name for one in search.stages}
    if is_known or any(one not in bench.given and search.row(one) is None for one in stage.sources):
        return
    left = max(bench.clock.left, 0.0)
    # The estimate is for a whole training; one that is begun needs less.
    if not bench.is_begun(stage.name) and (needed := needed_seconds(search, stage)) > left:
        search.late.append(f"{stage.name}: it would take about {_minutes(needed)}, and {_minutes(left)} are left")
        return
    logger.info("%s …", stage.name)
    try:
        row = bench.try_stage(stage)
    except LateError:
        search.late.append(f"{stage.name}: it took longer than there was time; a later run goes on with it")
        return
    search.rows.append(row)
    search.stages.append(stage)


def _minutes(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes >= 10 else f"{minutes:.2g} min"


def needed_seconds(search: Search, stage: Stage) -> float:
    """Return about how long a training takes; what is made in seconds is always tried."""
    if stage.call.verb == "distill":
        passes = stage.call.config.get("num_epochs") or num_passes(search, stage.model)
        return _asking_seconds(search) + passes * pass_seconds(search, stage.model)
    if stage.call.verb == "prune":
        # The whole model answers every text once before, which costs a part of a pass.
        passes = PruneConfig().num_epochs + 1 / TRAINING_COST
        # Pruning learns from no altered copies.
        return SAFETY * search.texts.real.height * passes * _train_seconds(search, stage.model)
    return 0.0


def _train_seconds(search: Search, model: str) -> float:
    """Return what a text costs in training: as it was timed, or of the teacher by what an answer costs."""
    if not model:
        # The teacher is never trained here, so nobody has timed it.
        return TRAINING_COST / float(search.present[0]["throughput"])
    return float(next(row for row in search.shapes if row["name"] == model)["train_seconds_per_text"])


def pass_seconds(search: Search, model: str) -> float:
    """Return how long a student takes to go once over its texts, with some to spare."""
    return SAFETY * search.texts.num_rows * _train_seconds(search, model)


def num_passes(search: Search, model: str) -> int:
    """Return how often a student goes over its texts by default."""
    usual = default_settings(search.students[model].family, search.texts.num_rows, form=search.bench.task.head)
    return int(usual.get("num_epochs", 1))


def _asking_seconds(search: Search) -> float:
    """Return how long the teacher answers all texts, if it has not yet."""
    # Where ask keeps a teacher's answers: beside the student, hidden.
    is_asked = any((search.bench.folder / "bundles").glob(".*.answers"))
    return 0.0 if is_asked else search.texts.num_rows / float(search.present[0]["throughput"])
