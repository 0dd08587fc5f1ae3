"""How much each member counts: by its score, or by the mixture of the least log loss; it knows no label and no text.

Both log-loss methods, this one and ``greedy``, see of a member only the probability that it gave to the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.protocols import Task

__all__ = ["log_loss_weights", "score_weights", "truth_probabilities"]


FLOOR = np.float32(1e-7)
MAX_DECISIONS = 1 << 18
MAX_ITERATIONS = 500
TOLERANCE_NATS = 1e-4


def score_weights(scores_K: Sequence[float]) -> list[float]:
    """Return weights in proportion to the members' scores, such as their accuracies; equal ones where all are 0.

    Source: Zhou 2012, "Ensemble Methods: Foundations and Algorithms", section 4.2.2 (weighted averaging).
    """
    scores = np.asarray(scores_K, dtype=np.float64)
    total = float(scores.sum())
    return (scores / total if total > 0 else np.full(len(scores), 1 / len(scores))).tolist()


def truth_probabilities(members: Iterable[Any], targets: Any, task: Task[Any]) -> FloatArray:
    """Return what each member gave to the truth, float32, shape (K, M), never 0.

    Args:
        members: K pieces of evidence, probabilities.
        targets: What holds, as the task has it.
        task: Of one answer a decision there are as many as decisions with a truth. Of one for each decision and label
            at most 262,144, evenly spread, are kept.
    """
    found = [task.truth(member, targets, most=MAX_DECISIONS) for member in members]
    return np.stack([np.maximum(truth_M, FLOOR, dtype=np.float32) for truth_M in found])


def log_loss_weights(truth_KM: FloatArray) -> list[float]:
    """Return the weights whose mean of probabilities has the least log loss, to 0.0001 nats.

    Expectation maximization; the loss is convex in the weights, and the largest entry of the gradient bounds how far
    the loss can still fall.

    Args:
        truth_KM: From :func:`truth_probabilities`. Of more than 262,144 columns evenly spread ones count.

    Source: Dempster, Laird, Rubin 1977, "Maximum Likelihood from Incomplete Data via the EM Algorithm", section 4.3,
        with known components.
    """
    # Copied, because the products below go through it hundreds of times.
    truth_KM = np.ascontiguousarray(truth_KM[:, :: max(1, -(-truth_KM.shape[1] // MAX_DECISIONS))])
    num_members, num_decisions = truth_KM.shape
    weights_K = np.full(num_members, 1 / num_members, dtype=np.float64)
    for _ in range(MAX_ITERATIONS):
        mixture_M = weights_K.astype(np.float32) @ truth_KM
        # How much the likelihood gains if a little weight moves to each member; 1 is what the mixture has by itself.
        gains_K = (truth_KM @ (1 / mixture_M)).astype(np.float64) / num_decisions
        if gains_K.max() - 1 < TOLERANCE_NATS:
            break
        weights_K *= gains_K
        weights_K /= weights_K.sum()
    return weights_K.tolist()
