"""Weighted means of the members' probabilities, one member at a time in blocks of rows; it fits nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from yanmo.arrays import FloatArray

__all__ = ["average", "blocks", "equal_weights"]

BLOCK_ROWS = 1 << 15


def average(members: Iterable[FloatArray], weights_K: Sequence[float]) -> FloatArray:
    """Return the weighted mean of K members' probabilities, float32, shape (N, C).

    Args:
        members: K arrays of shape (N, C); they are read one after the other, so they may be made on the way.
        weights_K: Sum to 1. A member of weight 0 is read too.
    """
    total_NC: FloatArray | None = None
    for weight, member_NC in zip(weights_K, members, strict=True):
        factor = np.float32(weight)
        if total_NC is None:
            total_NC = np.multiply(member_NC, factor, dtype=np.float32)
            continue
        # Product and sum of one block before the next is touched; the product of a whole array would go through memory.
        for rows in blocks(len(member_NC)):
            total_NC[rows] += member_NC[rows] * factor
    if total_NC is None:
        raise ValueError("an average needs a member")
    return total_NC


def equal_weights(num_members: int) -> list[float]:
    """Return the same weight for every member."""
    return [1.0 / num_members] * num_members


def blocks(num_rows: int) -> Iterator[slice]:
    """Yield slices over all rows, so that what is made of one of them stays in the processor's cache."""
    for start in range(0, num_rows, BLOCK_ROWS):
        yield slice(start, start + BLOCK_ROWS)
