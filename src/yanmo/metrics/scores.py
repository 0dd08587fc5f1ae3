"""Accuracy, precision, recall and F1 from arrays; it knows no intervals.

A score without a value (a precision where nothing was chosen) is NaN here; averages are taken over the labels that
occur among the targets or the choices, as scikit-learn does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from yanmo.arrays import Array, Doubles, IntArray

__all__ = [
    "LabelCounts",
    "accuracy",
    "confusion_matrix",
    "label_counts",
    "macro_f1",
    "micro_f1",
    "precision_recall_f1",
    "weighted_f1",
]


class LabelCounts(NamedTuple):
    """What the F1 scores are made of; the last axis is C labels, others (resamples, models) may stand before it.

    Attributes:
        hits: Rows that have the label and were given it.
        chosen: Rows that were given the label.
        support: Rows that have the label.
    """

    hits: Doubles
    chosen: Doubles
    support: Doubles


def accuracy(chosen_NC: Array, targets_NC: Array) -> float:
    """Return the share of rows whose chosen labels are exactly the right ones (subset accuracy); NaN without rows."""
    right_N = np.all(chosen_NC.astype(bool) == targets_NC.astype(bool), axis=1)
    return float(right_N.mean()) if len(right_N) else float("nan")


def label_counts(chosen_NC: Array, targets_NC: Array) -> LabelCounts:
    """Return the counts of every label over all rows."""
    chosen, targets = chosen_NC.astype(bool), targets_NC.astype(bool)
    counts = ((chosen & targets).sum(axis=0), chosen.sum(axis=0), targets.sum(axis=0))
    return LabelCounts(*(count.astype(np.float64) for count in counts))


def confusion_matrix(chosen_NC: Array, targets_NC: Array) -> IntArray:
    """Return counts for tasks with one label a row, int64, shape (C, C): row is the truth, column the choice."""
    num_classes = targets_NC.shape[1]
    # A pair of truth and choice is one number, which a bincount counts.
    cells_N = targets_NC.argmax(axis=1) * num_classes + chosen_NC.argmax(axis=1)
    counts = np.bincount(cells_N, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def precision_recall_f1(counts: LabelCounts) -> tuple[Doubles, Doubles, Doubles]:
    """Return three arrays of the counts' shape; NaN where a score has no value."""
    precision = _ratio(counts.hits, counts.chosen)
    recall = _ratio(counts.hits, counts.support)
    return precision, recall, _ratio(2 * counts.hits, counts.chosen + counts.support)


def macro_f1(counts: LabelCounts) -> Doubles:
    """Return the mean F1 of the labels that occur, one value for each leading index."""
    f1 = precision_recall_f1(counts)[2]
    return _ratio(np.nansum(f1, axis=-1), (~np.isnan(f1)).sum(axis=-1))


def micro_f1(counts: LabelCounts) -> Doubles:
    """Return the F1 of all decisions together, one value for each leading index."""
    hits, chosen, support = (count.sum(axis=-1) for count in counts)
    return _ratio(2 * hits, chosen + support)


def weighted_f1(counts: LabelCounts) -> Doubles:
    """Return the mean F1 weighted by the rows that have the label, one value for each leading index."""
    # A label without a value has no rows, so its weight is 0.
    f1 = np.nan_to_num(precision_recall_f1(counts)[2])
    return _ratio((f1 * counts.support).sum(axis=-1), counts.support.sum(axis=-1))


def _ratio(above: Array, below: Array) -> Doubles:
    """Return the quotient, NaN where the divisor is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below != 0))
