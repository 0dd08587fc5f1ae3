"""Greedy selection of members, with replacement, bagged; it knows no label and no text."""

from __future__ import annotations

import numpy as np

from yanmo.arrays import FloatArray, IntArray

__all__ = ["greedy_weights"]

NUM_ROUNDS = 25
NUM_BAGS = 20
MAX_ROWS = 32_768


def greedy_weights(truth_KM: FloatArray, *, seed: int) -> list[float]:
    """Return each member's share of the selections.

    Every bag sees a random half of the members (at least two) and rows drawn with replacement. It starts with the best
    member and adds, round by round, the one that lowers the log loss of the mean most; the best round counts.

    Args:
        truth_KM: What K members gave to the truth of M decisions, from :func:`weighting.truth_probabilities`.
        seed: Of the bags.

    Source: Caruana, Niculescu-Mizil, Crew, Ksikes 2004, "Ensemble Selection from Libraries of Models", sections
        2.1-2.3.
    Differs: Log loss is the score; rows are bagged too; a bag begins with its one best member.
    """
    num_members, num_decisions = truth_KM.shape
    generator = np.random.default_rng(seed)
    num_chosen = min(num_members, max(2, -(-num_members // 2)))
    shares_K = np.zeros(num_members)
    for _ in range(NUM_BAGS):
        members = generator.permutation(num_members)[:num_chosen]
        rows = generator.integers(0, num_decisions, min(num_decisions, MAX_ROWS))
        counts = _select(truth_KM[np.ix_(members, rows)])
        shares_K[members] += counts / counts.sum()
    return [float(share) for share in shares_K / NUM_BAGS]


def _select(truth_KM: FloatArray) -> IntArray:
    """Return how often each member was selected up to the best round."""
    counts = np.zeros(len(truth_KM), dtype=np.int64)
    sum_M = np.zeros(truth_KM.shape[1], dtype=np.float32)
    best, best_counts = -np.inf, counts
    for number in range(1, NUM_ROUNDS + 1):
        # The mean log loss if each member in turn were added next: one row of sums for each of them.
        scores = np.log((sum_M + truth_KM) / np.float32(number)).mean(axis=1, dtype=np.float64)
        chosen = int(scores.argmax())
        sum_M += truth_KM[chosen]
        counts[chosen] += 1
        # A gain by rounding alone is none, so that the earliest round with the score counts.
        if scores[chosen] > best + 1e-9:
            best, best_counts = float(scores[chosen]), counts.copy()
    return best_counts
