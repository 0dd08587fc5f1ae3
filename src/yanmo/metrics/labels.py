"""What is counted in rows that are given labels, and the measures of it: accuracy and the averages of F1.

The statistics of a row, S = 3 C + 2, all yes or no: whether each label holds, was given, holds and was given; whether
the row is right as a whole; and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Array, Doubles
from yanmo.metrics.measures import Measure
from yanmo.metrics.scores import LabelCounts, macro_f1, micro_f1, weighted_f1

__all__ = [
    "ACCURACY",
    "MACRO_F1",
    "MICRO_F1",
    "WEIGHTED_F1",
    "label_statistics",
    "name_right_rows",
    "right_rows",
    "sum_counts",
]

# Places of a row's last two statistics, counted from the end, since C differs.
RIGHT, ROW = -2, -1


def label_statistics(chosen_NC: Array, targets_NC: Array) -> npt.NDArray[np.bool_]:
    """Return what is counted in each row, shape (N, 3 C + 2).

    Args:
        chosen_NC: Where a label was given.
        targets_NC: 1 where a label holds.
    """
    chosen, targets = chosen_NC.astype(bool), targets_NC.astype(bool)
    right_N1 = np.all(chosen == targets, axis=1, keepdims=True)
    # Left as bool: resampling packs rows of yes and no into bits.
    return np.hstack([targets, chosen, chosen & targets, right_N1, np.ones_like(right_N1)])


def right_rows(statistics_NS: Array) -> npt.NDArray[np.bool_]:
    """Return which rows are right as a whole, shape (N,)."""
    return np.asarray(statistics_NS[:, RIGHT].astype(bool))


def sum_counts(sums: Doubles) -> LabelCounts:
    """Return the counts of every label, each of shape (..., C), of summed statistics, shape (..., 3 C + 2)."""
    num_classes = (sums.shape[-1] + RIGHT) // 3
    support, chosen, hits = (sums[..., place * num_classes : (place + 1) * num_classes] for place in range(3))
    return LabelCounts(hits, chosen, support)


def _accuracy(sums: Doubles) -> Doubles:
    return np.asarray(sums[..., RIGHT] / sums[..., ROW])


ACCURACY = Measure("accuracy", _accuracy, "accuracy", is_share=True)
"""The share of rows whose labels are exactly the right ones."""
MACRO_F1 = Measure("macro_f1", lambda sums: macro_f1(sum_counts(sums)), "macro F1", is_second=True)
"""The mean F1 of the labels that occur."""
MICRO_F1 = Measure("micro_f1", lambda sums: micro_f1(sum_counts(sums)), "micro F1")
"""The F1 of all given labels together; with one label a row it is the accuracy."""
WEIGHTED_F1 = Measure("weighted_f1", lambda sums: weighted_f1(sum_counts(sums)), "weighted F1")
"""The mean F1, weighted by the rows that have the label."""


def name_right_rows(measures: Sequence[Measure]) -> str:
    """Return what Reports call the share of rows that are right: ``accuracy`` where a task measures it so.

    Args:
        measures: Of the task.
    """
    return ACCURACY.name if ACCURACY in measures else "right_rows"
