"""Sequences: how likely the tokens of a text are, each after those before it; it knows no vocabulary and no model.

A model cuts a text into tokens of its own, so every token says which characters it adds. Sums over characters are then
those of the text, whatever cut it, and models with different tokenizers can be held against each other.

Legend: N rows, M tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Self

import numpy as np
import polars as pl
from msgspec import Struct

from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged

__all__ = ["Sequences"]

TINY = np.float32(1e-37)
"""The logarithm of a probability of 0 is finite with it: -85."""


class Sequences(Struct, frozen=True):
    """The log-likelihoods of the tokens of N texts.

    Attributes:
        values_M: In nats, float32: the logarithm of the probability of each token after all those before it.
        ends: Row i has the tokens ``ends[i]`` to ``ends[i + 1]``, int64, shape (N + 1,), from 0.
        places: Which characters of its text each token adds, the first one and the one behind the last, int64,
            shape (M, 2). Those of a row lie side by side and cover it; a token that is a part of a character only adds
            none, unless it is the one that the character is counted with.
        texts: N texts.
    """

    values_M: FloatArray
    ends: IntArray
    places: IntArray
    texts: list[str]

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.ends) - 1

    @property
    def row_M(self) -> IntArray:
        """The row of each token, int64, shape (M,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.ends))

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        taken = Ragged(np.arange(len(self.values_M)), self.ends).take(rows)
        texts = [self.texts[row] for row in rows.tolist()]
        return type(self)(self.values_M[taken.values], taken.offsets, self.places[taken.values], texts)

    def ordered(self, columns: list[int]) -> Self:  # noqa: ARG002 - one signature with other forms
        """Return them as they are: there are no labels whose order could differ."""
        return self

    def parts(self) -> tuple[FloatArray, ...]:
        """Return the probabilities of the tokens, of which the mean of several models is taken."""
        return (np.exp(self.values_M),)

    def with_parts(self, *parts: FloatArray) -> Self:
        """Return the same tokens with other probabilities."""
        (probabilities_M,) = parts
        # Weights are rounded, so a mean may be a little above 1.
        return type(self)(np.log(np.clip(probabilities_M, TINY, 1)), self.ends, self.places, self.texts)

    def cuts_like(self, other: Self) -> bool:
        """Return whether the texts are cut into the same tokens."""
        return np.array_equal(self.ends, other.ends) and np.array_equal(self.places, other.places)

    def activate(self) -> Self:
        """Return them as they are: log-likelihoods are what runtimes give."""
        return self

    def invert(self, *, floor: float = 0.0) -> Self:  # noqa: ARG002 - one signature with other forms
        """Return them as they are."""
        return self

    def sums_N(self, first_N: IntArray | None = None) -> Doubles:
        """Return each row's log-likelihood in nats, float64, shape (N,).

        Args:
            first_N: The first character of each row that counts: what stands before it is given. None: all count.
        """
        counted_M = self.counted_M(first_N)
        sums_N = np.bincount(self.row_M[counted_M], self.values_M[counted_M], minlength=len(self))
        return np.asarray(sums_N, dtype=np.float64)

    def counted_M(self, first_N: IntArray | None = None) -> IntArray:
        """Return the tokens that count: those that end behind the first character that does, int64."""
        if first_N is None:
            return np.arange(len(self.values_M))
        return np.flatnonzero(self.places[:, 1] > first_N[self.row_M])

    @classmethod
    def gathered(cls, parts: Sequence[tuple[IntArray, Self]]) -> Self:
        """Return the rows of several Sequences as one, each at its number; the numbers are 0 to N - 1, each once.

        Args:
            parts: The numbers of the rows, and the Sequences about them; at least one.
        """
        every = [one for _, one in parts]
        lengths = np.concatenate([np.diff(one.ends) for one in every])
        whole = cls(
            np.concatenate([one.values_M for one in every]),
            np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            np.concatenate([one.places for one in every]),
            list(chain.from_iterable(one.texts for one in every)),
        )
        return whole.take(np.argsort(np.concatenate([rows for rows, _ in parts])))

    def columns(self) -> dict[str, pl.Series]:
        """Return what a file of Predictions holds of them: the text, and lists of what is known of its tokens."""
        flat = {
            "log_likelihoods": pl.Series(self.values_M, dtype=pl.Float32),
            "places": pl.Series(self.places, dtype=pl.Array(pl.Int64, 2)),
        }
        bounds = list(pairwise(self.ends.tolist()))
        lists = {
            name: pl.Series(name, [column[start:end] for start, end in bounds], dtype=pl.List(column.dtype))
            for name, column in flat.items()
        }
        return {"text": pl.Series("text", self.texts, dtype=pl.String), **lists}

    @classmethod
    def read(cls, frame: pl.DataFrame) -> Self:
        """Return the Sequences that :meth:`columns` wrote.

        Args:
            frame: Rows of a file of Predictions.
        """
        column = frame["log_likelihoods"]
        # An empty list explodes to one null, which is no token.
        has_tokens = column.list.len() > 0
        pairs = frame["places"].filter(has_tokens).explode()
        pairs = pairs.list.to_array(2) if isinstance(pairs.dtype, pl.List) else pairs
        values_M = np.ascontiguousarray(column.filter(has_tokens).explode().to_numpy(), dtype=np.float32)
        places = np.ascontiguousarray(pairs.to_numpy(), dtype=np.int64).reshape(len(pairs), 2)
        ends = np.concatenate(([0], np.cumsum(column.list.len().to_numpy()))).astype(np.int64)
        return cls(values_M, ends, places, frame["text"].to_list())

    def distance_N(self, other: Self) -> FloatArray:
        """Return how far each row is from that of another: the mean difference of a token, in nats, shape (N,).

        Rows that are cut into other tokens are infinitely far.
        """
        if not self.cuts_like(other):
            return np.full(len(self), np.inf, dtype=np.float32)
        # NaN counts as infinitely far: an answer that is no number is like none.
        apart_M = np.nan_to_num(np.abs(self.values_M - other.values_M), nan=np.inf)
        sums_N = np.bincount(self.row_M, apart_M, minlength=len(self))
        return (sums_N / np.maximum(np.diff(self.ends), 1)).astype(np.float32)
