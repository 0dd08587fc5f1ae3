"""Labels in a row: the steps of ragged rows without padding; it knows no label.

Rows are laid out step by step, the longest first: at every step the rows that go on stand together at the front, so a
step is one product over all of them and nothing is computed for a row that has ended.

Legend: U units of N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from yanmo.arrays import IntArray

__all__ = ["Steps"]


@dataclass(frozen=True)
class Steps:
    """The units of N rows, ordered by their place in the row, and within a place by the length of the row.

    Attributes:
        units_U: The unit at each place of this order, int64.
        ends_T: Where each step ends, int64, shape (T + 1,), from 0; T is the length of the longest row.
    """

    units_U: IntArray
    ends_T: IntArray

    @classmethod
    def of(cls, offsets: IntArray) -> Steps:
        """Return the steps of rows of which row i has the units ``offsets[i]`` to ``offsets[i + 1]``."""
        lengths_N = np.diff(offsets)
        order_N = np.argsort(-lengths_N, kind="stable")
        # How many rows are longer than t, for every t: those that have a unit at step t.
        alive_T = len(lengths_N) - np.searchsorted(np.sort(lengths_N), np.arange(lengths_N.max(initial=0)), "right")
        ends_T = np.concatenate(([0], np.cumsum(alive_T))).astype(np.int64)
        step_U = np.repeat(np.arange(len(alive_T)), alive_T)
        rank_U = np.arange(ends_T[-1]) - ends_T[step_U]
        return cls(offsets[order_N[rank_U]] + step_U, ends_T)

    def bounds(self) -> list[tuple[int, int]]:
        """Return where each step begins and ends."""
        return list(pairwise(self.ends_T.tolist()))
