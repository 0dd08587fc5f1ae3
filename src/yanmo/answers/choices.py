"""Choices: decisions over one list of labels, one a row for whole texts, several a row for the units of a text.

It knows no label's name: columns are in whatever order they were made in.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
import polars as pl
from msgspec import Struct

from yanmo.answers.links import Link
from yanmo.arrays import FloatArray, IntArray, Ragged

__all__ = ["Choices"]


class Choices(Struct, frozen=True):
    """M decisions over C labels, as scores or, once they are activated, as probabilities.

    Attributes:
        values_MC: float32, columns in label order.
        link: From scores to probabilities.
        ends: Where row i has the decisions ``ends[i]`` to ``ends[i + 1]``, int64, shape (N + 1,), from 0; None where
            every row is one decision.
        places: Where in the raw text what each decision is about begins and ends (exclusive), in characters, int64,
            shape (M, 2); None where whole texts are decided about.
        joint_M: Where a model says how neighboring decisions go together: the probability of all that is decided
            together with this one, such as of a whole span, float32; NaN where there is no such thing. None of others.
        path_M: The columns that this is about, of the best path that there may be, int64, where they are known already.
    """

    values_MC: FloatArray
    link: Link
    ends: IntArray | None = None
    places: IntArray | None = None
    joint_M: FloatArray | None = None
    path_M: IntArray | None = None

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.values_MC) if self.ends is None else len(self.ends) - 1

    @property
    def offsets_N(self) -> IntArray:
        """Where each row's decisions begin, with the end of the last, int64, shape (N + 1,)."""
        return np.arange(len(self.values_MC) + 1) if self.ends is None else self.ends

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        if self.ends is None:
            return self.having(self.values_MC[rows])
        taken = Ragged(self.values_MC, self.ends).take(rows)
        places, joint_M = (
            None if one is None else Ragged(one, self.ends).take(rows).values for one in (self.places, self.joint_M)
        )
        return type(self)(taken.values, self.link, taken.offsets, places, joint_M)

    def having(self, values_MC: FloatArray, *, joint_M: FloatArray | None = None) -> Self:
        """Return the same decisions with other values, of which nobody knows how they go together unless it is said."""
        return type(self)(values_MC, self.link, self.ends, self.places, joint_M)

    def parts(self) -> tuple[FloatArray, ...]:
        """Return ``values_MC`` alone."""
        return (self.values_MC,)

    def with_parts(self, *parts: FloatArray) -> Self:
        """Return the same decisions with other values."""
        return self.having(*parts)

    def activate(self) -> Self:
        """Return the probabilities of scores."""
        values_MC = self.link.activate(self.values_MC)
        return type(self)(values_MC, self.link, self.ends, self.places, self.joint_M, self.path_M)

    def invert(self, *, floor: float = 0.0) -> Self:
        """Return scores whose probabilities these are, none nearer to 0 or 1 than ``floor``."""
        values_MC = np.clip(self.values_MC, floor, 1 - floor) if floor else self.values_MC
        return self.having(self.link.invert(values_MC), joint_M=self.joint_M)

    def ordered(self, columns: list[int]) -> Self:
        """Return the Choices with columns in another order: first the one that ``columns`` names first."""
        # numpy keeps chosen columns column by column in memory; whoever reads rows wants rows together.
        return self.having(np.ascontiguousarray(self.values_MC[:, columns]), joint_M=self.joint_M)

    def least_N(self, values_M: FloatArray) -> FloatArray:
        """Return of values of the decisions the least of each row, 1 where a row has none, shape (N,)."""
        if self.ends is None:
            return values_M
        found_N = np.ones(len(self), dtype=np.float32)
        np.minimum.at(found_N, np.repeat(np.arange(len(self)), np.diff(self.ends)), values_M)
        return found_N

    @classmethod
    def gathered(cls, parts: Sequence[tuple[IntArray, Self]]) -> Self:
        """Return the rows of several Choices as one, each at its number; the numbers are 0 to N - 1, each once.

        Args:
            parts: The numbers of the rows, and the Choices about them; at least one.
        """
        rows, (first, *others) = np.concatenate([rows for rows, _ in parts]), [one for _, one in parts]
        whole = first
        if others:
            every = [first, *others]
            ends = None
            if first.ends is not None:
                ends = np.concatenate(([0], np.cumsum(np.concatenate([np.diff(one.offsets_N) for one in every]))))
            places = None if first.places is None else np.concatenate([np.asarray(one.places) for one in every])
            whole = cls(np.concatenate([one.values_MC for one in every]), first.link, ends, places, _joint(every))
        return whole.take(np.argsort(rows))

    def columns(self) -> dict[str, pl.Series]:
        """Return what a file of Predictions holds of them: an array of C for each row, or a list of such arrays."""
        flat = pl.Series("probabilities", self.values_MC, dtype=pl.Array(pl.Float32, self.values_MC.shape[1]))
        if self.ends is None:
            return {"probabilities": flat}
        columns = {"probabilities": flat}
        if self.places is not None:
            columns["places"] = pl.Series("places", self.places, dtype=pl.Array(pl.Int64, 2))
        if self.joint_M is not None:
            # JSON has no NaN.
            columns["joint"] = pl.Series("joint", self.joint_M, dtype=pl.Float32).fill_nan(None)
        # Slices of one array; nothing is copied.
        bounds = list(pairwise(self.ends.tolist()))
        return {
            name: pl.Series(name, [column[start:end] for start, end in bounds], dtype=pl.List(column.dtype))
            for name, column in columns.items()
        }

    @classmethod
    def read(cls, frame: pl.DataFrame, link: Link) -> Self:
        """Return the Choices that :meth:`columns` wrote.

        Args:
            frame: Rows of a file of Predictions.
            link: Of the task.
        """
        column, ends = frame["probabilities"], None
        if isinstance(column.dtype, pl.List) and isinstance(column.dtype.inner, pl.List | pl.Array):
            ends = np.concatenate(([0], np.cumsum(column.list.len().to_numpy()))).astype(np.int64)
            # A row without decisions would explode to a null.
            column = column.filter(column.list.len() > 0).explode()
        if isinstance(column.dtype, pl.List):  # of JSON, in which no width is written
            column = column.list.to_array(int(column.list.len()[0]) if len(column) else 0)
        width = column.dtype.size if isinstance(column.dtype, pl.Array) else 0
        values_MC = np.ascontiguousarray(column.to_numpy(), dtype=np.float32).reshape(len(column), width)
        return cls(values_MC, link, ends, _read_places(frame), _read_joint(frame))

    def distance_N(self, other: Self) -> FloatArray:
        """Return how far each row's values are from those of another, the largest difference of all, shape (N,)."""
        distance_M = np.abs(self.values_MC - other.values_MC).max(axis=1, initial=0.0)
        if self.ends is None:
            return np.asarray(distance_M)
        found_N = np.zeros(len(self), dtype=np.float32)
        # NaN counts as infinitely far: an answer that is no number is like none.
        owner_M = np.repeat(np.arange(len(self)), np.diff(self.ends))
        np.maximum.at(found_N, owner_M, np.nan_to_num(distance_M, nan=np.inf))
        return found_N


def _joint(parts: Sequence[Choices]) -> FloatArray | None:
    """Return how probable what is decided together is, NaN where a part does not say; None where none does."""
    if all(one.joint_M is None for one in parts):
        return None
    unknown = [np.full(len(one.values_MC), np.nan, dtype=np.float32) for one in parts]
    return np.concatenate(
        [gap if one.joint_M is None else one.joint_M for one, gap in zip(parts, unknown, strict=True)]
    )


def _read_joint(frame: pl.DataFrame) -> FloatArray | None:
    if "joint" not in frame.columns:
        return None
    column = frame["joint"].cast(pl.List(pl.Float32))
    return column.filter(column.list.len() > 0).explode().fill_null(np.nan).to_numpy()


def _read_places(frame: pl.DataFrame) -> IntArray | None:
    if "places" not in frame.columns:
        return None
    column = frame["places"].filter(frame["places"].list.len() > 0).explode()
    pairs = column.list.to_array(2) if isinstance(column.dtype, pl.List) else column
    return np.ascontiguousarray(pairs.to_numpy(), dtype=np.int64).reshape(len(column), 2)
