"""How many edits make one sequence of another, and how much both have in common, of many pairs at once; ids only.

A table of a pair is filled row by row, and one row of all pairs is a few operations on arrays: what goes from left to
right in it is a running minimum or maximum.

Legend: P pairs, S items of the longest second sequence.

Source: Wagner, Fischer 1974, "The String-to-String Correction Problem", section 4.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from yanmo.arrays import IntArray

__all__ = ["count_edits", "count_in_common"]

BLOCK_CELLS = 1 << 20


def count_edits(ours: Sequence[Sequence[Hashable]], theirs: Sequence[Sequence[Hashable]]) -> IntArray:
    """Return the least insertions, deletions and substitutions that make the one of the other, int64, shape (P,)."""
    return _in_blocks(ours, theirs, _edits_P)


def count_in_common(ours: Sequence[Sequence[Hashable]], theirs: Sequence[Sequence[Hashable]]) -> IntArray:
    """Return the length of the longest sequence that is left of both by leaving items out, int64, shape (P,)."""
    return _in_blocks(ours, theirs, _common_P)


def _in_blocks(ours: Sequence[Sequence[Hashable]], theirs: Sequence[Sequence[Hashable]], count: object) -> IntArray:
    found = np.zeros(len(ours), dtype=np.int64)
    # Pairs of like lengths side by side waste few cells.
    order = sorted(range(len(ours)), key=lambda pair: (len(theirs[pair]), len(ours[pair])))
    start = 0
    while start < len(order):
        longest, stop = 1, start
        while stop < len(order) and (stop - start + 1) * longest <= BLOCK_CELLS:
            longest = max(longest, len(theirs[order[stop]]) + 1)
            stop += 1
        chosen = order[start : max(stop, start + 1)]
        numbers: dict[Hashable, int] = {}
        tables = [_padded([side[pair] for pair in chosen], numbers) for side in (ours, theirs)]
        lengths = [np.array([len(side[pair]) for pair in chosen], dtype=np.int64) for side in (ours, theirs)]
        found[chosen] = count(*tables, *lengths)  # type: ignore[operator]
        start += len(chosen)
    return found


def _padded(rows: Sequence[Sequence[Hashable]], numbers: dict[Hashable, int]) -> IntArray:
    table = np.full((len(rows), max((len(row) for row in rows), default=0)), -1, dtype=np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = [numbers.setdefault(item, len(numbers)) for item in row]
    return table


def _edits_P(ours: IntArray, theirs_PS: IntArray, num_ours_P: IntArray, num_theirs_P: IntArray) -> IntArray:
    pairs, columns = np.arange(len(ours)), np.arange(theirs_PS.shape[1] + 1)
    before = np.tile(columns, (len(ours), 1))
    found = before[pairs, num_theirs_P]
    for step in range(ours.shape[1]):
        here = before + 1
        np.minimum(here[:, 1:], before[:, :-1] + (ours[:, step, None] != theirs_PS), out=here[:, 1:])
        # An insertion is one more than what stands to the left.
        before = np.minimum.accumulate(here - columns, axis=1) + columns
        found = np.where(num_ours_P == step + 1, before[pairs, num_theirs_P], found)
    return found


def _common_P(ours: IntArray, theirs_PS: IntArray, num_ours_P: IntArray, num_theirs_P: IntArray) -> IntArray:
    pairs = np.arange(len(ours))
    before = np.zeros((len(ours), theirs_PS.shape[1] + 1), dtype=np.int64)
    found = before[pairs, num_theirs_P]
    for step in range(ours.shape[1]):
        here = before.copy()
        np.maximum(here[:, 1:], before[:, :-1] + (ours[:, step, None] == theirs_PS), out=here[:, 1:])
        before = np.maximum.accumulate(here, axis=1)
        found = np.where(num_ours_P == step + 1, before[pairs, num_theirs_P], found)
    return found
