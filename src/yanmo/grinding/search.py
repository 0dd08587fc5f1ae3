"""Which stages are tried, in which order, and when it is enough: from cheap to expensive, within a time budget."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yanmo.grinding.budget import Budget, misses
from yanmo.grinding.candidates import Stage, cascade_of, student_stages, teacher_stages
from yanmo.grinding.shapes import few_rows, measure_shape
from yanmo.grinding.trials import Bench, finished
from yanmo.models import ModelSpec, default_settings

__all__ = ["Search", "run_search"]

logger = logging.getLogger(__name__)

NOISE = 1.1
"""A shape may miss the budget by so much in the first short measurement."""
PRUNED_FASTER = 2.5
"""At most so many times faster is a shape with half of its heads and neurons."""
TRAINING_COST = 30
"""A text in training costs about as much as so many in 8-bit inference: 8.5 ms against 0.29 ms for a bert-4x312."""
LIGHT_TRAINING_COST = 150
"""The same of ngram, whose inference is numpy: 0.4 ms against 0.003 ms."""


@dataclass
class Search:
    """What has been found.

    Attributes:
        students: Name to model.
        shapes: A row for each student's shape, untrained.
        rows: A row for each stage, in the order in which they were tried.
        stages: The stages of the rows.
        skipped: What was not tried, and why.
    """

    students: dict[str, ModelSpec]
    shapes: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def run_search(
    bench: Bench, budget: Budget, students: Sequence[ModelSpec], values: Mapping[str, Any], *, max_seconds: float
) -> Search:
    """Measure shapes, then make and measure what may meet the budget.

    Args:
        bench: Makes and measures.
        budget: What the Bundle may cost.
        students: Models to distill into.
        values: Of distill.
        max_seconds: No stage is begun that would probably end later.
    """
    search = Search({spec.name: spec for spec in students})
    few = few_rows(bench.dataset, bench.folder / "few")
    folder = bench.folder / "shapes"
    folder.mkdir(exist_ok=True)
    for spec in students:
        search.shapes.append(measure_shape(spec, few, folder, bench.num_threads))
    for stage in _candidates(bench, budget, search, values):
        row = _try(bench, search, stage, values, max_seconds)
        if row is not None:
            search.rows.append(row)
            search.stages.append(stage)
    for stage in _cascade(budget, search):
        search.rows.append(bench.try_stage(stage))
        search.stages.append(stage)
    return search


def _candidates(bench: Bench, budget: Budget, search: Search, values: Mapping[str, Any]) -> Iterator[Stage]:
    """Yield the stages, students that train fastest first; shapes that cannot meet the budget are left out."""
    is_possible = False
    for shape in sorted(search.shapes, key=lambda row: -row["throughput"]):
        found = misses(budget, shape, tolerance=NOISE)
        stages = student_stages(search.students[shape["name"]], values)
        if found and len(stages) > 2 and not misses(budget, shape, tolerance=PRUNED_FASTER):
            stages = [stages[0], *stages[2:]]
        elif found:
            search.skipped.append(f"{shape['name']}: its shape needs " + _said(found))
            continue
        is_possible = True
        yield from stages
    if is_possible or not search.shapes:
        yield from teacher_stages(bench.teacher.format, str(bench.teacher.architecture.get("family")))


def _said(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in found.items())


def _try(
    bench: Bench, search: Search, stage: Stage, values: Mapping[str, Any], max_seconds: float
) -> dict[str, Any] | None:
    """Return a stage's row, or None where it is left out: what it needs is missing, or there is no time."""
    missing = [one for one in stage.parents if one not in {row["name"] for row in finished(search.rows)}]
    if missing:
        search.skipped.append(f"{stage.name}: there is no {missing[0]}")
        return None
    left = max_seconds - bench.spent_seconds()
    needed = _estimate_seconds(bench, search, stage, values)
    is_measured = (bench.folder / "measured" / f"{stage.name}.json").is_file()
    if needed > left and not is_measured:
        search.skipped.append(f"{stage.name}: it would take about {needed / 60:.0f} min, {max(left, 0) / 60:.0f} left")
        return None
    logger.info("%s …", stage.name)
    return bench.try_stage(stage)


def _estimate_seconds(bench: Bench, search: Search, stage: Stage, values: Mapping[str, Any]) -> float:
    """Return about how long a stage takes, from how fast its shape answers."""
    shape = next((one for one in search.shapes if one["name"] == stage.model), None)
    if shape is None or stage.verb not in ("distill", "prune"):
        return 0.0
    num_rows = bench.dataset.split("train").height
    if stage.verb == "prune":
        return 2 * num_rows * TRAINING_COST / float(shape["throughput"])
    spec = search.students[stage.model]
    cost = TRAINING_COST if spec.format == "torch" else LIGHT_TRAINING_COST
    num_texts = num_rows * (1 + int(values.get("num_altered", 0)))
    num_epochs = values.get("num_epochs") or default_settings(spec.family, num_texts).num_epochs or 1
    asking = 0.0 if any(row["verb"] == "distill" for row in search.rows) else num_texts * bench.teacher_seconds
    return asking + float(num_texts * num_epochs * cost / shape["throughput"])


def _cascade(budget: Budget, search: Search) -> Iterator[Stage]:
    """Yield the cascade of the fastest and the most accurate stage that can be a member, if they are two."""
    rows = [row for row in finished(search.rows) if row["format"] in ("ngram", "onnx")]
    rows = [row for row in rows if not misses(budget, {"size_mb": row["size_mb"], "latency_ms": 0.0})]
    if len(rows) < 2:
        return
    cheap, dear = min(rows, key=lambda row: row["latency_ms"]), max(rows, key=lambda row: row["accuracy"])
    if cheap["name"] != dear["name"] and cheap["throughput"] > 2 * dear["throughput"]:
        yield cascade_of([cheap["name"], dear["name"]], budget.max_drop)
