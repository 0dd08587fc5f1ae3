"""Vectors: what texts are about, one vector a text, such that texts alike have vectors of a similar direction.

It knows no model and no text. A model gives raw vectors; what is kept of them, and whether their length counts, is
noted beside them and done when they are activated.

Legend: N rows, D dimensions of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from yanmo.arrays import FloatArray, IntArray

__all__ = ["Vectors", "cut_vectors", "unit_vectors"]

TINY = np.float32(1e-12)
"""No vector is divided by less than this length: that of nothing but zeros stays as it is."""


class Vectors(Struct, frozen=True):
    """The vectors of N texts.

    Attributes:
        values_ND: float32.
        num_dimensions: How many of the first dimensions are kept when they are activated.
        are_unit: Whether they have length 1 then.
    """

    values_ND: FloatArray
    num_dimensions: int
    are_unit: bool

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.values_ND)

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        return replace(self, values_ND=self.values_ND[rows])

    def ordered(self, columns: list[int]) -> Self:  # noqa: ARG002 - one signature with other forms
        """Return them as they are: there are no labels whose order could differ."""
        return self

    def parts(self) -> tuple[FloatArray, ...]:
        """Return the vectors."""
        return (self.values_ND,)

    def with_parts(self, *parts: FloatArray) -> Self:
        """Return others of the same kind."""
        (values_ND,) = parts
        return replace(self, values_ND=values_ND)

    def activate(self) -> Self:
        """Return the vectors that are answered: the first dimensions, of length 1 where that is noted."""
        return replace(self, values_ND=cut_vectors(self.values_ND, self.num_dimensions, are_unit=self.are_unit))

    def invert(self, *, floor: float = 0.0) -> Self:  # noqa: ARG002 - one signature with other forms
        """Return them as they are: activated once more they are the same."""
        return self

    @classmethod
    def gathered(cls, parts: Sequence[tuple[IntArray, Self]]) -> Self:
        """Return the rows of several Vectors as one, each at its number; the numbers are 0 to N - 1, each once.

        Args:
            parts: The numbers of the rows, and the Vectors about them; at least one.
        """
        order_N = np.argsort(np.concatenate([rows for rows, _ in parts]))
        return replace(parts[0][1], values_ND=np.concatenate([one.values_ND for _, one in parts])[order_N])

    def columns(self) -> dict[str, pl.Series]:
        """Return what a file of Predictions holds of them: an array a row."""
        width = self.values_ND.shape[1]
        return {"vector": pl.Series("vector", self.values_ND, dtype=pl.Array(pl.Float32, width))}

    @classmethod
    def read(cls, frame: pl.DataFrame) -> Self:
        """Return the Vectors that :meth:`columns` wrote; they are activated already.

        Args:
            frame: Rows of a file of Predictions.
        """
        # A golden example is a plain list of numbers.
        values_ND = np.array(frame["vector"].to_list(), dtype=np.float32).reshape(frame.height, -1)
        return cls(values_ND, values_ND.shape[1], are_unit=False)

    def distance_N(self, other: Self) -> FloatArray:
        """Return how far each vector is from another, as a share of the other's length, shape (N,)."""
        if self.values_ND.shape != other.values_ND.shape:
            return np.full(len(self), np.inf, dtype=np.float32)
        apart_N = np.linalg.norm(self.values_ND - other.values_ND, axis=1)
        lengths_N = np.maximum(np.linalg.norm(other.values_ND, axis=1), TINY)
        # NaN counts as infinitely far: an answer that is no number is like none.
        distance_N: FloatArray = np.nan_to_num(apart_N / lengths_N, nan=np.inf).astype(np.float32)
        return distance_N


def unit_vectors(values_ND: FloatArray) -> FloatArray:
    """Return vectors of length 1 and of the same directions."""
    lengths_N1 = np.linalg.norm(values_ND, axis=1, keepdims=True)
    return np.asarray(values_ND / np.maximum(lengths_N1, TINY), dtype=np.float32)


def cut_vectors(values_ND: FloatArray, num_dimensions: int, *, are_unit: bool) -> FloatArray:
    """Return the first dimensions of vectors.

    Args:
        values_ND: Whole ones.
        num_dimensions: How many to keep; as many as there are, or more, keep all.
        are_unit: Whether they have length 1 afterwards.

    Source: Kusupati et al. 2022, "Matryoshka Representation Learning", section 3, arXiv:2205.13147.
    """
    kept_ND = values_ND[:, :num_dimensions]
    return unit_vectors(kept_ND) if are_unit else np.ascontiguousarray(kept_ND)
