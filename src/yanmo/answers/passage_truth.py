"""What holds about questions: their passages, the right answers and where these stand; it knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import polars as pl
from msgspec import Struct

from yanmo.arrays import IntArray, Ragged

__all__ = ["ANSWERS", "PassageTruth"]

ANSWERS = pl.List(pl.Struct({"start": pl.Int64(), "text": pl.String()}))
"""The column of a Dataset: answers that count as right, none where there is no answer; a start of -1 is nowhere."""


class PassageTruth(Struct, frozen=True):
    """N questions.

    Attributes:
        passages: The raw passage of each.
        answers: The texts that count as right; none where the passage has no answer.
        spans: Where these stand, widened to whole units, each place once, first character and the one behind the last,
            int64, shape (S, 2), of N rows; an answer that the passage does not hold has no place.
    """

    passages: Sequence[str]
    answers: Sequence[Sequence[str]]
    spans: Ragged

    def __len__(self) -> int:
        """Return N."""
        return len(self.passages)

    @property
    def is_answered_N(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which questions have an answer."""
        return np.array([bool(one) for one in self.answers], dtype=np.bool_)

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        chosen = rows.tolist()
        answers = [self.answers[row] for row in chosen]
        return type(self)([self.passages[row] for row in chosen], answers, self.spans.take(rows))

    @classmethod
    def read(cls, passages: Sequence[str], answers: pl.Series, places: Ragged) -> Self:
        """Return what the columns of a Dataset say.

        Args:
            passages: N raw texts.
            answers: Of the type :data:`ANSWERS`.
            places: Where the units of the passages begin and end, which are what can be chosen, int64, shape (U, 2).
        """
        rows = answers.to_list()
        spans = [sorted(_whole_units(places.row(number), row or ())) for number, row in enumerate(rows)]
        flat = [span for row in spans for span in row]
        offsets = np.concatenate(([0], np.cumsum([len(row) for row in spans]))).astype(np.int64)
        texts = [tuple(dict.fromkeys(one["text"] for one in row or ())) for row in rows]
        return cls(passages, texts, Ragged(np.array(flat, dtype=np.int64).reshape(len(flat), 2), offsets))


def _whole_units(places_U2: IntArray, answers: Sequence[Mapping[str, Any]]) -> set[tuple[int, int]]:
    """Return where answers stand, each widened to whole units; one that holds no unit has no place."""
    found = set()
    for one in answers:
        start, end = one["start"], one["start"] + len(one["text"])
        first = int(np.searchsorted(places_U2[:, 1], start, side="right"))
        behind = int(np.searchsorted(places_U2[:, 0], end, side="left"))
        if start >= 0 and first < behind:
            found.add((int(places_U2[first, 0]), int(places_U2[behind - 1, 1])))
    return found
