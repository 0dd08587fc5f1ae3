"""Exact bounds of a share from counts, in numpy alone; they know nothing about what was counted."""

from __future__ import annotations

import functools
import math

import numpy as np

__all__ = ["binomial_tail", "lower_bound", "num_rows_needed", "upper_bound"]

# 2^-50 of the interval is left, less than any number of rows can tell apart.
NUM_HALVINGS = 50


def binomial_tail(num_hits: int, num_rows: int, share: float) -> float:
    """Return the probability of at most ``num_hits`` hits in rows that each are one with chance ``share`` in (0, 1)."""
    if num_hits >= num_rows:
        return 1.0
    steps = np.arange(num_hits + 1)
    logs = _log_choose(num_rows)[: num_hits + 1] + steps * math.log(share) + (num_rows - steps) * math.log1p(-share)
    # The largest term is taken out, since exp of each by itself would be 0 for many rows.
    top = float(logs.max())
    return min(1.0, math.exp(top) * float(np.exp(logs - top).sum()))


def upper_bound(num_hits: int, num_rows: int, delta: float) -> float:
    """Return a share that the true one exceeds with a chance of at most ``delta``.

    Source: Clopper, Pearson 1934, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial".
    """
    if num_hits >= num_rows:
        return 1.0
    low, high = num_hits / num_rows, 1.0
    # The tail falls as the share rises. The upper end is returned, which is never below the bound.
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_tail(num_hits, num_rows, middle) > delta else (low, middle)
    return high


def lower_bound(num_hits: int, num_rows: int, delta: float) -> float:
    """Return a share that the true one falls below with a chance of at most ``delta``."""
    return 1.0 - upper_bound(num_rows - num_hits, num_rows, delta)


def num_rows_needed(alpha: float, delta: float) -> int:
    """Return how many rows without a single hit show, with confidence 1 - ``delta``, a share of at most ``alpha``."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


@functools.lru_cache(maxsize=8)
def _log_choose(num_rows: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the logarithm of "``num_rows`` choose k" for every k, shape (num_rows + 1,)."""
    steps = np.arange(1, num_rows + 1)
    return np.concatenate(([0.0], np.cumsum(np.log((num_rows - steps + 1) / steps))))
