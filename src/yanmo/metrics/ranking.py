"""The area under the ROC curve with its interval; it knows only how scores rank."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yanmo.answers.links import Link
from yanmo.arrays import Doubles

__all__ = ["RocAuc", "roc_auc"]

Z_95 = 1.959963984540054


class RocAuc(NamedTuple):
    """The area in [0, 1] and its 95 % interval."""

    area: float
    interval: tuple[float, float]


def roc_auc(probabilities_NC: npt.NDArray[Any], targets_NC: npt.NDArray[Any], link: Link) -> RocAuc | None:
    """Return the area under the ROC curve, or None where it is not defined.

    With two labels that exclude each other it is that of the second; else the mean over the labels, each against all
    others. It is defined if every label has rows with and rows without it.

    Args:
        probabilities_NC: Scores of any scale.
        targets_NC: 1 where a label holds.
        link: Whether labels exclude each other.

    Source: DeLong, DeLong, Clarke-Pearson 1988, "Comparing the areas under two or more correlated ROC curves".
    Differs: The variance is that of the labels' mean, from each row's summed influence; the interval is clipped.
    """
    targets_NC = targets_NC.astype(bool)
    if link.excludes and targets_NC.shape[1] == 2:
        probabilities_NC, targets_NC = probabilities_NC[:, 1:], targets_NC[:, 1:]
    support_C = targets_NC.sum(axis=0)
    if not len(targets_NC) or np.any(support_C == 0) or np.any(support_C == len(targets_NC)):
        return None
    num_classes = targets_NC.shape[1]
    areas, influence_N = [], np.zeros(len(targets_NC))
    for column in range(num_classes):
        area, influence = _one_against_rest(probabilities_NC[:, column], targets_NC[:, column])
        areas.append(area)
        influence_N += influence / num_classes
    area = float(np.mean(areas))
    margin = Z_95 * float(np.sqrt((influence_N**2).sum()))
    return RocAuc(area, (max(0.0, area - margin), min(1.0, area + margin)))


def _one_against_rest(scores_N: npt.NDArray[Any], positive_N: npt.NDArray[np.bool_]) -> tuple[float, Doubles]:
    """Return the area and how much every row moves it (their squares sum to the area's variance)."""
    num_positive = int(positive_N.sum())
    num_negative = len(positive_N) - num_positive
    ranks_N = _mid_ranks(scores_N)
    # A row's rank among all, less its rank among its own kind, is how many of the other kind it beats; ties count half.
    beaten_N = np.empty(len(scores_N))
    beaten_N[positive_N] = (ranks_N[positive_N] - _mid_ranks(scores_N[positive_N])) / num_negative
    beaten_N[~positive_N] = 1 - (ranks_N[~positive_N] - _mid_ranks(scores_N[~positive_N])) / num_positive
    area = float(beaten_N[positive_N].mean())
    return area, (beaten_N - area) / np.where(positive_N, num_positive, num_negative)


def _mid_ranks(scores_N: npt.NDArray[Any]) -> Doubles:
    """Return ranks from 1; equal scores share the mean of their ranks."""
    _, places_N, counts = np.unique(scores_N, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    # The last of equal scores has rank ``last``, the first ``last - counts + 1``; their mean is in between.
    return np.asarray((last - (counts - 1) / 2)[places_N], dtype=np.float64)
