"""Which given labels are probably wrong, from out-of-fold probabilities; it knows no text and no model.

Every row's probabilities must come from a model that has not learned from it, else it agrees with the wrong labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from yanmo.arrays import Doubles, FloatArray, IntArray

__all__ = ["Suspects", "find_suspects", "find_suspects_of_many"]


class Suspects(NamedTuple):
    """How likely every row is mislabelled.

    Attributes:
        order_N: Row numbers, the most likely mislabelled first.
        scores_N: For each row, in row order: how much less probable its given label is than the best other, in [-1, 1];
            the lower, the more likely mislabelled.
        suggested_N: For each row the column of the label that it is suggested to have.
        num_wrong: How many rows are estimated to be mislabelled.
        joint_CC: The estimated share of rows with given label (row) and true label (column).
    """

    order_N: IntArray
    scores_N: Doubles
    suggested_N: IntArray
    num_wrong: int
    joint_CC: Doubles


def find_suspects(probabilities_NC: FloatArray, given_N: IntArray) -> Suspects:
    """Return how likely each row is mislabelled, and how many are.

    Args:
        probabilities_NC: Out-of-fold, rows sum to 1.
        given_N: The column of each row's given label.

    Source: Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", sections 3.1
        (confident joint, its calibration) and 3.2 (rank by normalized margin), arXiv:1911.00068.
    Differs: All rows are ranked at once, not within each pair of labels.
    """
    num_rows, num_classes = probabilities_NC.shape
    probabilities = probabilities_NC.astype(np.float64)
    own_N = probabilities[np.arange(num_rows), given_N]
    support_C = np.bincount(given_N, minlength=num_classes)
    means_C = np.bincount(given_N, weights=own_N, minlength=num_classes) / np.maximum(support_C, 1)
    # A label that no row was given has a mean of 0, and every row would be confident of it.
    confident_NC = (probabilities >= means_C) & (support_C > 0)
    # Among the labels that a row is confident of; rows that are confident of none are not counted.
    best_N = np.where(confident_NC, probabilities, -1.0).argmax(axis=1)
    is_counted_N = confident_NC.any(axis=1)
    cells = given_N[is_counted_N] * num_classes + best_N[is_counted_N]
    counts_CC = np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.float64)
    joint_CC = _calibrate_joint(counts_CC, support_C)
    others = probabilities.copy()
    # Below all probabilities: the given label is not suggested.
    others[np.arange(num_rows), given_N] = -1.0
    suggested_N = others.argmax(axis=1)
    scores_N = own_N - others[np.arange(num_rows), suggested_N]
    num_wrong = round(float(num_rows * (joint_CC.sum() - np.trace(joint_CC))))
    return Suspects(np.argsort(scores_N, kind="stable"), scores_N, suggested_N, num_wrong, joint_CC)


def _calibrate_joint(counts_CC: Doubles, support_C: IntArray) -> Doubles:
    """Return the joint shares: each row of counts is scaled to the label's support; one without counts is right.

    Source: equation 3 of the paper.
    """
    totals_C = counts_CC.sum(axis=1)
    counts_CC = counts_CC + np.diag(np.where(totals_C == 0, 1.0, 0.0))
    scaled_CC = counts_CC / counts_CC.sum(axis=1, keepdims=True) * support_C[:, None]
    return np.asarray(scaled_CC / max(float(scaled_CC.sum()), 1.0))


def find_suspects_of_many(probabilities_NC: FloatArray, targets_NC: FloatArray) -> tuple[IntArray, Doubles, int]:
    """Return the same for rows with any number of labels: order, scores, and how many rows are wrong at least.

    Each label is a question of yes or no; a row is as suspicious as its most suspicious answer.

    Args:
        probabilities_NC: Out-of-fold, each for itself.
        targets_NC: 1 where a label was given.
    """
    given_NC = targets_NC.astype(np.int64)
    scores_N, most_wrong = np.ones(len(given_NC)), 0
    for column in range(given_NC.shape[1]):
        yes_N = probabilities_NC[:, column]
        found = find_suspects(np.stack((1 - yes_N, yes_N), axis=1), given_NC[:, column])
        scores_N, most_wrong = np.minimum(scores_N, found.scores_N), max(most_wrong, found.num_wrong)
    return np.argsort(scores_N, kind="stable"), scores_N, most_wrong
