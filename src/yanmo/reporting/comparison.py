"""Several Bundles on the same rows: one row each, the best first, as a page; it runs no Bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from yanmo.metrics.measures import resample
from yanmo.metrics.resampling import percentile_interval, wilson_interval
from yanmo.tasks.labels import LabelTask

__all__ = ["compare_rows"]

SHOWN = ("accuracy", "macro_f1")
"""What a comparison shows beside the headline."""


def compare_rows(
    facts: Sequence[Mapping[str, Any]],
    answers: Sequence[Any],
    targets: Any,
    task: LabelTask,
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
    measures = [one for one in task.measures if one.name in SHOWN or one is headline]
    statistics = [task.statistics(one, targets) for one in answers]
    resampled = resample(statistics, measures, num_resamples=num_resamples, seed=seed)
    scores = [{one.name: one.score(rows_NS) for one in measures} for rows_NS in statistics]
    order = sorted(range(len(facts)), key=lambda place: -headline.gain(scores[place][headline.name]))
    best = order[0]
    rows = []
    for place in order:
        # The same resamples for all, so that the difference is a paired one.
        gap = resampled[place][headline.name] - resampled[best][headline.name]
        row = dict(facts[place])
        for one in measures:
            value = scores[place][one.name]
            interval = percentile_interval(resampled[place][one.name])
            if one.is_share:
                interval = wilson_interval(round(value * len(statistics[place])), len(statistics[place]))
            row |= {one.name: value, f"{one.name}_interval": interval}
        behind = scores[place][headline.name] - scores[best][headline.name]
        rows.append({**row, "behind_best": behind, "behind_best_interval": percentile_interval(gap)})
    return rows
