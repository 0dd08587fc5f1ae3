"""Writings: the texts that a model has written for others, each with how likely its tokens are; it knows no model.

A model may keep several candidates of a row. They are what a service shows, and what models that cut texts into other
tokens are combined by.

Legend: N rows, K candidates of all rows, M tokens of all candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Self

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from yanmo.answers.sequences import Sequences
from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged

__all__ = ["Writings"]


class Writings(Struct, frozen=True):
    """What was written for N rows.

    Attributes:
        candidates: K written texts with the log-likelihoods of their tokens, those that end a text included; the places
            are those in the written text.
        offsets: Row i has the candidates ``offsets[i]`` to ``offsets[i + 1]``, the best one first, at least one; int64,
            shape (N + 1,), from 0.
    """

    candidates: Sequences
    offsets: IntArray

    @classmethod
    def of(cls, written: Sequences) -> Self:
        """Return one candidate a row."""
        return cls(written, np.arange(len(written) + 1))

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.offsets) - 1

    @property
    def best(self) -> Sequences:
        """The best candidate of each row."""
        return self.candidates.take(self.offsets[:-1])

    @property
    def texts(self) -> list[str]:
        """The text of the best candidate of each row."""
        return [self.candidates.texts[place] for place in self.offsets[:-1].tolist()]

    @property
    def num_written_N(self) -> IntArray:
        """The number of tokens of each row's best candidate."""
        return np.asarray(np.diff(self.candidates.ends)[self.offsets[:-1]], np.int64)

    def told(self, values_K: Doubles) -> list[dict[str, float]]:
        """Return each row's candidates, the best first, with the values that are given of them; equal texts once."""
        values, texts = values_K.tolist(), self.candidates.texts
        found: list[dict[str, float]] = []
        for start, end in pairwise(self.offsets.tolist()):
            told: dict[str, float] = {}
            for text, value in zip(texts[start:end], values[start:end], strict=True):
                # The first of equal ones is the best, and keeps its place.
                told.setdefault(text, value)
            found.append(told)
        return found

    def means_K(self) -> Doubles:
        """Return the mean log-likelihood of each candidate's tokens in nats, 0 of one without any."""
        return self.candidates.sums_N() / np.maximum(np.diff(self.candidates.ends), 1)

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        taken = Ragged(np.arange(len(self.candidates)), self.offsets).take(rows)
        return type(self)(self.candidates.take(taken.values), taken.offsets)

    @classmethod
    def gathered(cls, parts: Sequence[tuple[IntArray, Self]]) -> Self:
        """Return the rows of several Writings as one, each at its number; the numbers are 0 to N - 1, each once."""
        every = [one for _, one in parts]
        ends = np.cumsum([0, *(len(one.candidates) for one in every)]).tolist()
        numbered = [
            (np.arange(end, end + len(one.candidates)), one.candidates)
            for end, one in zip(ends[:-1], every, strict=True)
        ]
        lengths = np.concatenate([np.diff(one.offsets) for one in every])
        whole = cls(Sequences.gathered(numbered), np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))
        return whole.take(np.argsort(np.concatenate([rows for rows, _ in parts])))

    def ordered(self, columns: list[int]) -> Self:  # noqa: ARG002 - one signature with other forms
        """Return them as they are: there are no labels whose order could differ."""
        return self

    def parts(self) -> tuple[FloatArray, ...]:
        """Return the probabilities of the tokens."""
        return self.candidates.parts()

    def with_parts(self, *parts: FloatArray) -> Self:
        """Return the same tokens with other probabilities."""
        return replace(self, candidates=self.candidates.with_parts(*parts))

    def activate(self) -> Self:
        """Return them as they are: log-likelihoods are what runtimes give."""
        return self

    def invert(self, *, floor: float = 0.0) -> Self:  # noqa: ARG002 - one signature with other forms
        """Return them as they are."""
        return self

    def columns(self) -> dict[str, pl.Series]:
        """Return what a file of Predictions holds of them: the texts, and of all their tokens one after the other."""
        bounds = list(pairwise(self.offsets.tolist()))
        tokens = [(int(self.candidates.ends[start]), int(self.candidates.ends[end])) for start, end in bounds]
        by_candidate: Mapping[str, pl.Series] = {
            "texts": pl.Series(self.candidates.texts, dtype=pl.String),
            "num_tokens": pl.Series(np.diff(self.candidates.ends), dtype=pl.Int64),
        }
        by_token: Mapping[str, pl.Series] = {
            "log_likelihoods": pl.Series(self.candidates.values_M, dtype=pl.Float32),
            "places": pl.Series(self.candidates.places, dtype=pl.Array(pl.Int64, 2)),
        }
        return {name: _lists(name, column, bounds) for name, column in by_candidate.items()} | {
            name: _lists(name, column, tokens) for name, column in by_token.items()
        }

    @classmethod
    def read(cls, frame: pl.DataFrame) -> Self:
        """Return the Writings that :meth:`columns` wrote.

        Args:
            frame: Rows of a file of Predictions.
        """
        # Of a row without tokens nothing explodes but a null.
        has_tokens = frame["log_likelihoods"].list.len() > 0
        values, pairs = (frame[name].filter(has_tokens).explode() for name in ("log_likelihoods", "places"))
        pairs = pairs.list.to_array(2) if isinstance(pairs.dtype, pl.List) else pairs
        lengths_K = frame["num_tokens"].explode().to_numpy()
        candidates = Sequences(
            np.ascontiguousarray(values.to_numpy(), dtype=np.float32),
            np.concatenate(([0], np.cumsum(lengths_K))).astype(np.int64),
            np.ascontiguousarray(pairs.to_numpy(), dtype=np.int64).reshape(len(pairs), 2),
            frame["texts"].explode().to_list() if len(frame) else [],
        )
        counts_N = frame["texts"].list.len().to_numpy()
        return cls(candidates, np.concatenate(([0], np.cumsum(counts_N))).astype(np.int64))

    def distance_N(self, other: Self) -> FloatArray:
        """Return how far each row is from that of another: the mean difference of a token of what was written, in nats.

        Rows of different texts are infinitely far.
        """
        ours, theirs = self.best, other.best
        is_same_N = np.array([one == two for one, two in zip(ours.texts, theirs.texts, strict=True)], dtype=np.bool_)
        apart_N = [np.abs(one.means_K()[one.offsets[:-1]]) for one in (self, other)]
        gap_N = np.nan_to_num(np.abs(apart_N[0] - apart_N[1]), nan=np.inf)
        return np.where(is_same_N, gap_N, np.inf).astype(np.float32)


def _lists(name: str, column: pl.Series, bounds: Sequence[tuple[int, int]]) -> pl.Series:
    return pl.Series(name, [column[start:end] for start, end in bounds], dtype=pl.List(column.dtype))
