"""The types of arrays that every layer shares, and the legend of their shape suffixes; it knows no model and no file.

N examples, W windows of them, M decisions, U units, C classes, B batch, T tokens, D width, K members.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

__all__ = ["Array", "Doubles", "FloatArray", "IntArray", "Ragged", "take_rows"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


class Ragged(Struct, frozen=True):
    """N rows of different lengths in one array: row i is ``values[offsets[i]:offsets[i + 1]]``.

    Attributes:
        values: All rows, one after the other; any dtype.
        offsets: int64, shape (N + 1,), from 0 to ``len(values)``.
    """

    values: npt.NDArray[Any]
    offsets: IntArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths_N(self) -> IntArray:
        """The number of values in each row, int64, shape (N,)."""
        return self.offsets[1:] - self.offsets[:-1]

    def row(self, index: int) -> npt.NDArray[Any]:
        """Return one row as a view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def sums_N(self) -> npt.NDArray[Any]:
        """Return the sum of each row, of a row without values 0, shape (N,)."""
        totals = np.concatenate(([0], np.cumsum(self.values)))
        return np.asarray(totals[self.offsets[1:]] - totals[self.offsets[:-1]])

    def take(self, rows: npt.NDArray[Any]) -> Ragged:
        """Return the given rows, in the given order, without a loop over rows."""
        lengths = self.lengths_N[rows]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        # Where each value stands: its place among the taken ones, moved by as much as its row has moved.
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[positions], offsets)


def take_rows(values: Any, rows: IntArray) -> Any:
    """Return rows of an array, or of whatever else takes rows, in the given order."""
    return values[rows] if isinstance(values, np.ndarray) else values.take(rows)
