"""Has one model more rows right than another: McNemar's exact test; it knows no score."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["McNemar", "mcnemar"]


class McNemar(NamedTuple):
    """The result of the exact test.

    Attributes:
        only_first: Rows that only the first model has right.
        only_second: Rows that only the second model has right.
        p_value: Two-sided: how likely so unequal counts are if both models are equally good.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first_right_N: npt.NDArray[np.bool_], second_right_N: npt.NDArray[np.bool_]) -> McNemar:
    """Test whether two models have different error rates.

    Args:
        first_right_N: Where the first model is right, N rows.
        second_right_N: Where the second model is right, the same rows.

    Source: McNemar 1947; the exact binomial form.
    """
    only_first = int((first_right_N & ~second_right_N).sum())
    only_second = int((second_right_N & ~first_right_N).sum())
    return McNemar(only_first, only_second, _two_sided(min(only_first, only_second), only_first + only_second))


def _two_sided(fewer: int, total: int) -> float:
    """Return P(at most ``fewer`` of ``total`` fair coins) twice, at most 1, summed in logarithms."""
    # Binomial coefficients of some thousand rows are more than a float holds, so logarithms are summed; the largest is
    # taken out before exp.
    steps = np.arange(1, fewer + 1)
    logs = np.concatenate(([0.0], np.cumsum(np.log((total - steps + 1) / steps))))
    top = float(logs.max())
    tail = top + math.log(float(np.exp(logs - top).sum())) - total * math.log(2)
    return min(1.0, 2 * math.exp(tail))
