"""Gaps: what a model would write into hidden places of texts, each from all that stands around it; it knows no model.

A place is a gap that the user has marked, of which candidates are told; or, of a text without marks, every token in
turn, of which is told how likely it is there. The sum of these is the pseudo-log-likelihood of the text.

Legend: N rows, M hidden places of all rows, K candidates of all gaps.

Source: Salazar et al. 2020, "Masked Language Model Scoring", section 2, arXiv:1910.14659.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from yanmo.answers.sequences import Sequences
from yanmo.arrays import FloatArray, IntArray, Ragged

__all__ = ["Gap", "GapWord", "GapWords", "Gaps"]


class GapWord(Struct, frozen=True):
    """What could stand in a gap.

    Attributes:
        text: As the tokenizer writes it, perhaps with a space before it.
        token: Its id in the model's vocabulary.
        probability: Of its standing there.
    """

    text: str
    token: int
    probability: float


class Gap(Struct, frozen=True):
    """A gap of one text.

    Attributes:
        start: The first character of its mark.
        end: The character behind the mark's last one.
        words: What could stand there, the likeliest first.
    """

    start: int
    end: int
    words: tuple[GapWord, ...]


class GapWords(Struct, frozen=True):
    """The candidates of M places, of which only gaps have any.

    Attributes:
        values_K: Their log-likelihoods in nats, float32; of each place the likeliest first.
        ids_K: In the model's vocabulary, int64.
        texts: As the tokenizer writes them.
        ends: Place i has the candidates ``ends[i]`` to ``ends[i + 1]``, int64, shape (M + 1,).
    """

    values_K: FloatArray
    ids_K: IntArray
    texts: list[str]
    ends: IntArray

    def take(self, places: IntArray) -> Self:
        """Return the candidates of the given places, in the given order."""
        taken = Ragged(np.arange(len(self.texts)), self.ends).take(places)
        texts = [self.texts[place] for place in taken.values.tolist()]
        return type(self)(self.values_K[taken.values], self.ids_K[taken.values], texts, taken.offsets)


class Gaps(Struct, frozen=True):
    """What a model says of the hidden places of N texts.

    Attributes:
        tokens: N texts with the places, and the log-likelihood of what stands there; of a gap of its best candidate.
        ranks_M: How many tokens are likelier than what stands there, and 1, int64; 0 of a gap.
        words: What could stand in the gaps.
    """

    tokens: Sequences
    ranks_M: IntArray
    words: GapWords

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.tokens)

    @property
    def texts(self) -> list[str]:
        """N texts, with the marks of their gaps."""
        return self.tokens.texts

    @property
    def has_gaps_N(self) -> np.typing.NDArray[np.bool_]:
        """Which rows have gaps, bool, shape (N,)."""
        return np.bincount(self.tokens.row_M[self.ranks_M == 0], minlength=len(self)) > 0

    def told(self) -> list[tuple[Gap, ...]]:
        """Return each row's gaps with their candidates; a text without gaps has none."""
        ends, places = self.words.ends.tolist(), self.tokens.places.tolist()
        shares_K, ids_K = np.exp(self.words.values_K.astype(np.float64)).tolist(), self.words.ids_K.tolist()
        words = list(map(GapWord, self.words.texts, ids_K, shares_K))
        is_gap = (self.ranks_M == 0).tolist()
        return [
            tuple(
                Gap(places[place][0], places[place][1], tuple(words[ends[place] : ends[place + 1]]))
                for place in range(start, end)
                if is_gap[place]
            )
            for start, end in pairwise(self.tokens.ends.tolist())
        ]

    def filled(self) -> list[str]:
        """Return every text with the likeliest candidates in its gaps."""
        found = []
        for text, gaps in zip(self.texts, self.told(), strict=True):
            filled = text
            for gap in reversed(gaps):
                # Pieces that go on a word, and the space before one, are notes of the tokenizer.
                word = gap.words[0].text.strip().removeprefix("##") if gap.words else ""
                filled = filled[: gap.start] + word + filled[gap.end :]
            found.append(filled)
        return found

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        places = Ragged(np.arange(len(self.ranks_M)), self.tokens.ends).take(rows).values
        return type(self)(self.tokens.take(rows), self.ranks_M[places], self.words.take(places))

    @classmethod
    def gathered(cls, parts: Sequence[tuple[IntArray, Self]]) -> Self:
        """Return the rows of several Gaps as one, each at its number; the numbers are 0 to N - 1, each once."""
        every = [one for _, one in parts]
        starts = np.cumsum([0, *map(len, every)]).tolist()
        numbered = [(np.arange(start, start + len(one)), one.tokens) for start, one in zip(starts, every, strict=False)]
        words = [one.words for one in every]
        lengths = np.concatenate([np.diff(one.ends) for one in words])
        whole = cls(
            Sequences.gathered(numbered),
            np.concatenate([one.ranks_M for one in every]),
            GapWords(
                np.concatenate([one.values_K for one in words]),
                np.concatenate([one.ids_K for one in words]),
                [text for one in words for text in one.texts],
                np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
            ),
        )
        return whole.take(np.argsort(np.concatenate([rows for rows, _ in parts])))

    def ordered(self, columns: list[int]) -> Self:  # noqa: ARG002 - one signature with other forms
        """Return them as they are: there are no labels whose order could differ."""
        return self

    def parts(self) -> tuple[FloatArray, ...]:
        """Return the probabilities of what stands in the places, of which the mean of several models is taken."""
        return self.tokens.parts()

    def with_parts(self, *parts: FloatArray) -> Self:
        """Return the same places with other probabilities of what stands there."""
        return replace(self, tokens=self.tokens.with_parts(*parts))

    def activate(self) -> Self:
        """Return them as they are: log-likelihoods are what runtimes give."""
        return self

    def invert(self, *, floor: float = 0.0) -> Self:  # noqa: ARG002 - one signature with other forms
        """Return them as they are."""
        return self

    def columns(self) -> dict[str, pl.Series]:
        """Return what a file of Predictions holds of them: lists by place, and of all candidates of a row."""
        by_place = Ragged(np.arange(len(self.ranks_M)), self.tokens.ends)
        places = list(pairwise(by_place.offsets.tolist()))
        candidates = [(int(self.words.ends[start]), int(self.words.ends[end])) for start, end in places]
        counts = np.diff(self.words.ends)
        return {
            **self.tokens.columns(),
            "ranks": _lists("ranks", pl.Series(self.ranks_M, dtype=pl.Int64), places),
            "num_candidates": _lists("num_candidates", pl.Series(counts, dtype=pl.Int64), places),
            "candidate_log_likelihoods": _lists(
                "candidate_log_likelihoods", pl.Series(self.words.values_K, dtype=pl.Float32), candidates
            ),
            "candidate_ids": _lists("candidate_ids", pl.Series(self.words.ids_K, dtype=pl.Int64), candidates),
            "candidates": _lists("candidates", pl.Series(self.words.texts, dtype=pl.String), candidates),
        }

    @classmethod
    def read(cls, frame: pl.DataFrame) -> Self:
        """Return the Gaps that :meth:`columns` wrote.

        Args:
            frame: Rows of a file of Predictions.
        """
        counts_M = _flat(frame["num_candidates"]).to_numpy().astype(np.int64)
        words = GapWords(
            _flat(frame["candidate_log_likelihoods"]).to_numpy().astype(np.float32),
            _flat(frame["candidate_ids"]).to_numpy().astype(np.int64),
            _flat(frame["candidates"]).to_list(),
            np.concatenate(([0], np.cumsum(counts_M))).astype(np.int64),
        )
        return cls(Sequences.read(frame), _flat(frame["ranks"]).to_numpy().astype(np.int64), words)

    def distance_N(self, other: Self) -> FloatArray:
        """Return how far each row is from that of another: the mean difference of a place, in nats, shape (N,)."""
        return self.tokens.distance_N(other.tokens)


def _lists(name: str, column: pl.Series, bounds: Sequence[tuple[int, int]]) -> pl.Series:
    return pl.Series(name, [column[start:end] for start, end in bounds], dtype=pl.List(column.dtype))


def _flat(column: pl.Series) -> pl.Series:
    # An empty list explodes to one null, which is no value.
    return column.filter(column.list.len() > 0).explode()
