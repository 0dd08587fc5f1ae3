"""Several Bundles on the same rows: one row each, the best first, as a page; it runs no Bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo import metrics

__all__ = ["compare_rows"]

Array = npt.NDArray[Any]


def compare_rows(
    facts: Sequence[Mapping[str, Any]],
    choices: Sequence[Array],
    targets_NC: Array,
    *,
    num_resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row a Bundle: what is known of it, its scores, and how far it is behind the best; the best first.

    Args:
        facts: What the page says of each Bundle besides its scores: name, model, size, speed.
        choices: The labels each Bundle gave, bool, shape (N, C), N >= 1.
        targets_NC: 1 where a label holds.
        num_resamples: Of the paired bootstrap.
        seed: Of the paired bootstrap.
    """
    resampled = metrics.bootstrap(choices, targets_NC, num_resamples=num_resamples, seed=seed)
    scores = [_scores(chosen_NC, targets_NC) for chosen_NC in choices]
    order = sorted(range(len(facts)), key=lambda place: -scores[place]["accuracy"])
    best = order[0]
    rows = []
    for place in order:
        gap = resampled[place]["accuracy"] - resampled[best]["accuracy"]
        rows.append(
            {
                **facts[place],
                **scores[place],
                "macro_f1_interval": metrics.percentile_interval(resampled[place]["macro_f1"]),
                "behind_best": scores[place]["accuracy"] - scores[best]["accuracy"],
                "behind_best_interval": metrics.percentile_interval(gap),
            }
        )
    return rows


def _scores(chosen_NC: Array, targets_NC: Array) -> dict[str, Any]:
    num_right = int(np.all(chosen_NC == targets_NC.astype(bool), axis=1).sum())
    return {
        "accuracy": num_right / len(targets_NC),
        "accuracy_interval": metrics.wilson_interval(num_right, len(targets_NC)),
        "macro_f1": float(metrics.macro_f1(metrics.label_counts(chosen_NC, targets_NC))),
    }
