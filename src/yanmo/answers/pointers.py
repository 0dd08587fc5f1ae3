"""Pointers: decisions that choose one of several cells of their own row, such as where an answer begins in a passage.

What a cell is, a character, a word or "none of them", is the task's matter; a row has as many as it needs, so there is
no list of labels and no width that all decisions share.

Legend: N rows, M decisions, K cells of all decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
import polars as pl
from msgspec import Struct

from yanmo.arrays import FloatArray, IntArray, Ragged

__all__ = ["Pointers"]

TINY = np.float32(1e-30)
"""The logarithm of a probability of 0 is finite with it: -69."""


class Pointers(Struct, frozen=True):
    """M decisions over cells, as scores or, once they are activated, as probabilities.

    Attributes:
        values_K: float32; a cell that may not be chosen has the score -inf and the probability 0.
        cells: Decision j chooses among ``values_K[cells[j]:cells[j + 1]]``, at least one; int64, shape (M + 1,).
        ends: Where row i has the decisions ``ends[i]`` to ``ends[i + 1]``, int64, shape (N + 1,), from 0.
        places: Where in the raw text what each decision is about begins and ends (exclusive), in characters, int64,
            shape (M, 2); None where decisions are about whole rows.
    """

    values_K: FloatArray
    cells: IntArray
    ends: IntArray
    places: IntArray | None = None

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.ends) - 1

    @property
    def num_cells_M(self) -> IntArray:
        """Among how many cells each decision chooses, int64, shape (M,)."""
        return self.cells[1:] - self.cells[:-1]

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        decisions = Ragged(np.arange(len(self.cells) - 1), self.ends).take(rows)
        taken = Ragged(self.values_K, self.cells).take(decisions.values)
        places = None if self.places is None else self.places[decisions.values]
        return type(self)(taken.values, taken.offsets, decisions.offsets, places)

    def having(self, values_K: FloatArray) -> Self:
        """Return the same decisions with other values."""
        return type(self)(values_K, self.cells, self.ends, self.places)

    def parts(self) -> tuple[FloatArray, ...]:
        """Return ``values_K`` alone."""
        return (self.values_K,)

    def with_parts(self, *parts: FloatArray) -> Self:
        """Return the same decisions with other values."""
        return self.having(*parts)

    def ordered(self, columns: list[int]) -> Self:  # noqa: ARG002 - one signature
        """Return the Pointers as they are: cells have no labels."""
        return self

    def activate(self) -> Self:
        """Return the probabilities of scores: a softmax over the cells of each decision."""
        if not len(self.values_K):
            return self
        starts, counts_M = self.cells[:-1], self.num_cells_M
        shifted_K = self.values_K - np.repeat(np.maximum.reduceat(self.values_K, starts), counts_M)
        powers_K = np.exp(shifted_K, dtype=np.float32)
        return self.having(powers_K / np.repeat(np.add.reduceat(powers_K, starts), counts_M))

    def invert(self, *, floor: float = 0.0) -> Self:
        """Return scores whose probabilities these are; without a ``floor`` what may not be chosen stays so."""
        if floor:
            return self.having(np.log(np.clip(self.values_K, floor, 1 - floor)))
        return self.having(np.where(self.values_K > 0, np.log(np.maximum(self.values_K, TINY)), -np.inf))

    def softened(self, temperature: float) -> Self:
        """Return the probabilities that the same scores would give if a temperature, > 0, divided them."""
        scores = self.invert()
        return scores.having(np.asarray(scores.values_K / temperature, dtype=np.float32)).activate()

    def best_M(self) -> tuple[IntArray, FloatArray]:
        """Return the best cell of each decision, counted from its first, int64, and its value, both of shape (M,)."""
        if not len(self.values_K):
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        most_M = np.maximum.reduceat(self.values_K, self.cells[:-1])
        is_best_K = self.values_K == np.repeat(most_M, self.num_cells_M)
        # Of equal ones the first: the largest place counted from the end.
        from_end_K = np.where(is_best_K, len(is_best_K) - np.arange(len(is_best_K)), 0)
        first_M = len(is_best_K) - np.maximum.reduceat(from_end_K, self.cells[:-1])
        return first_M - self.cells[:-1], most_M

    def at_M(self, cell_M: IntArray) -> FloatArray:
        """Return the values of one cell of each decision, counted from its first, shape (M,)."""
        return np.asarray(self.values_K[self.cells[:-1] + cell_M])

    @classmethod
    def gathered(cls, parts: Sequence[tuple[IntArray, Self]]) -> Self:
        """Return the rows of several Pointers as one, each at its number; the numbers are 0 to N - 1, each once.

        Args:
            parts: The numbers of the rows, and the Pointers about them; at least one.
        """
        rows, every = np.concatenate([rows for rows, _ in parts]), [one for _, one in parts]
        whole = cls(
            np.concatenate([one.values_K for one in every]),
            _ends(np.concatenate([one.num_cells_M for one in every])),
            _ends(np.concatenate([np.diff(one.ends) for one in every])),
            None if every[0].places is None else np.concatenate([np.asarray(one.places) for one in every]),
        )
        return whole.take(np.argsort(rows))

    def columns(self) -> dict[str, pl.Series]:
        """Return what a file of Predictions holds of them: for each row a list of decisions, each a list of cells."""
        flat, cells, bounds = pl.Series(self.values_K, dtype=pl.Float32), self.cells.tolist(), self.ends.tolist()
        each = pl.Series([flat[start:end] for start, end in pairwise(cells)], dtype=pl.List(pl.Float32))
        columns = {"pointers": each}
        if self.places is not None:
            columns["places"] = pl.Series(self.places, dtype=pl.Array(pl.Int64, 2))
        return {
            name: pl.Series(name, [column[start:end] for start, end in pairwise(bounds)], dtype=pl.List(column.dtype))
            for name, column in columns.items()
        }

    @classmethod
    def read(cls, frame: pl.DataFrame) -> Self:
        """Return the Pointers that :meth:`columns` wrote.

        Args:
            frame: Rows of a file of Predictions.
        """
        column = frame["pointers"]
        # An empty list explodes to one null, which is no decision.
        each = column.filter(column.list.len() > 0).explode()
        places = None
        if "places" in frame.columns:
            pairs = frame["places"].filter(column.list.len() > 0).explode()
            pairs = pairs.list.to_array(2) if isinstance(pairs.dtype, pl.List) else pairs
            places = np.ascontiguousarray(pairs.to_numpy(), dtype=np.int64).reshape(len(pairs), 2)
        values_K = np.ascontiguousarray(each.explode().to_numpy(), dtype=np.float32)
        return cls(values_K, _ends(each.list.len().to_numpy()), _ends(column.list.len().to_numpy()), places)

    def distance_N(self, other: Self) -> FloatArray:
        """Return how far each row's values are from those of another, the largest difference of all, shape (N,).

        Rows whose cells are not the same in number are infinitely far.
        """
        found_N = np.zeros(len(self), dtype=np.float32)
        row_M = np.repeat(np.arange(len(self)), np.diff(self.ends))
        if len(self.cells) != len(other.cells) or (self.cells != other.cells).any() or (self.ends != other.ends).any():
            return np.full(len(self), np.inf, dtype=np.float32)
        # Scores of -inf in both are equal; NaN counts as infinitely far.
        with np.errstate(invalid="ignore"):
            difference_K = np.where(self.values_K == other.values_K, 0.0, np.abs(self.values_K - other.values_K))
        np.maximum.at(found_N, np.repeat(row_M, self.num_cells_M), np.nan_to_num(difference_K, nan=np.inf))
        return found_N


def _ends(counts: IntArray) -> IntArray:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
