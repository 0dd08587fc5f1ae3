"""Weighted means of the members' evidence, one member at a time in blocks of rows; it fits nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar, cast

import numpy as np

from yanmo.answers.answered import Evidence
from yanmo.answers.writings import Writings
from yanmo.combine.candidates import average_candidates

__all__ = ["average", "blocks", "equal_weights"]

EvidenceT = TypeVar("EvidenceT", bound=Evidence)
BLOCK_ROWS = 1 << 15


def average(members: Iterable[EvidenceT], weights_K: Sequence[float]) -> EvidenceT:
    """Return the weighted sum of K members' values, float32: of weights that sum to 1, their mean.

    Args:
        members: K pieces of evidence about the same decisions; they are read one after the other, so they may be made
            on the way.
        weights_K: A member of weight 0 is read too.
    """
    read = iter(members)
    first = next(read, None)
    if first is None:
        raise ValueError("an average needs a member")
    every = chain([first], read)
    if isinstance(first, Writings):
        # Members have written texts of their own, so there is nothing that stands at the same place in all of them.
        return cast(EvidenceT, average_candidates(cast(Iterable[Writings], every), weights_K))
    totals: list[Any] = []
    for weight, member in zip(weights_K, every, strict=True):
        factor = np.float32(weight)
        if not totals:
            totals = [np.multiply(values, factor, dtype=np.float32) for values in member.parts()]
            continue
        for total, values in zip(totals, member.parts(), strict=True):
            # Product and sum of one block before the next is touched; the product of a whole array would go through
            # memory.
            for rows in blocks(len(values)):
                total[rows] += values[rows] * factor
    return first.with_parts(*totals)


def equal_weights(num_members: int) -> list[float]:
    """Return the same weight for every member."""
    return [1.0 / num_members] * num_members


def blocks(num_rows: int) -> Iterator[slice]:
    """Yield slices over all rows, so that what is made of one of them stays in the processor's cache."""
    for start in range(0, num_rows, BLOCK_ROWS):
        yield slice(start, start + BLOCK_ROWS)
