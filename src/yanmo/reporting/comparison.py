"""Several Bundles on the same rows: one row each, the best first, as a page; it runs no Bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from yanmo.metrics.measures import resample, shown_measures
from yanmo.protocols import Task

__all__ = ["compare_rows"]


def compare_rows(
    facts: Sequence[Mapping[str, Any]],
    answers: Sequence[Any],
    targets: Any,
    task: Task[Any],
    *,
    num_resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row a Bundle: what is known of it, its scores, and how far it is behind the best; the best first.

    Args:
        facts: What the page says of each Bundle besides its scores: name, model, size, speed.
        answers: The evidence of each Bundle, N >= 1 rows.
        targets: What the task holds answers against.
        task: Says what is counted and measured.
        num_resamples: Of the paired bootstrap.
        seed: Of the paired bootstrap.
    """
    headline = task.measures[0]
    statistics = [task.statistics(one, targets) for one in answers]
    # All models at once, so that every difference is a paired one.
    resampled = resample(statistics, shown_measures(task.measures), num_resamples=num_resamples, seed=seed)
    measured = [resampled.measured(place) for place in range(len(facts))]
    order = sorted(range(len(facts)), key=lambda place: -headline.gain(measured[place][headline.name].value))
    rows = []
    for place in order:
        row, behind = dict(facts[place]), resampled.compared(place, order[0])[headline.name]
        for name, one in measured[place].items():
            row |= {name: one.value, f"{name}_interval": one.interval}
        rows.append({**row, "behind_best": behind.difference, "behind_best_interval": behind.interval})
    return rows
