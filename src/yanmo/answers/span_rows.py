"""The spans of N rows as arrays; those of a row become objects when somebody asks for them. It knows no model.

A segmented text has more words than a text has answers, so whoever counts or writes spans makes no object a word.

Legend: M spans of N rows, K kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np

from yanmo.answers.answered import Span
from yanmo.arrays import FloatArray, IntArray

__all__ = ["SpanRows"]


class SpanRows(Sequence[tuple[Span, ...]]):
    """What was decided about N rows: the spans of each, in the order of their places.

    Args:
        places_M2: The first character of each span and the one behind its last, in the text as it was given, int64.
        kind_M: The kind of each, a place in ``kinds``.
        probability_M: Of its being there, with this kind.
        kinds: The names of K kinds.
        ends: Row i has the spans ``ends[i]`` to ``ends[i + 1]``.
        texts: What stands at each of the M places, where it is at hand.
    """

    def __init__(
        self,
        places_M2: IntArray,
        kind_M: IntArray,
        probability_M: FloatArray,
        *,
        kinds: Sequence[str],
        ends: IntArray,
        texts: Sequence[str] | None = None,
    ) -> None:
        self.places_M2, self.kind_M, self.probability_M = places_M2, kind_M, probability_M
        self.kinds, self.ends, self._texts = kinds, ends, texts

    def with_texts(self, texts: Sequence[str]) -> SpanRows:
        """Return the spans with what stands at each of them in its text."""
        arrays = self.places_M2, self.kind_M, self.probability_M
        return SpanRows(*arrays, kinds=self.kinds, ends=self.ends, texts=texts)

    def labels(self) -> list[str]:
        """Return the names of the kinds of all spans, one row after the other."""
        return self._labels(slice(None))

    def _labels(self, some: slice) -> list[str]:
        labels: list[str] = np.array(self.kinds, dtype=object)[self.kind_M[some]].tolist()
        return labels

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, row: int) -> tuple[Span, ...]: ...
    @overload
    def __getitem__(self, row: slice) -> list[tuple[Span, ...]]: ...
    def __getitem__(self, row: int | slice) -> tuple[Span, ...] | list[tuple[Span, ...]]:
        rows = range(len(self))[row]
        return list(self._rows(rows)) if isinstance(rows, range) else next(self._rows(range(rows, rows + 1)))

    def __iter__(self) -> Iterator[tuple[Span, ...]]:
        return self._rows(range(len(self)))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def _rows(self, rows: range) -> Iterator[tuple[Span, ...]]:
        """Yield the spans of some rows that stand one behind the other."""
        if rows.step != 1:
            yield from (self[row] for row in rows)
            return
        bounds = self.ends[rows.start : rows.stop + 1].tolist() if rows else [0]
        some = slice(bounds[0], bounds[-1])
        starts, ends = self.places_M2[some].T.tolist()
        columns: list[Sequence[Any]] = [starts, ends, self._labels(some), self.probability_M[some].tolist()]
        if self._texts is not None:
            columns.append(self._texts[some])
        flat = list(map(Span, *columns))
        for first, last in pairwise(bounds):
            yield tuple(flat[first - some.start : last - some.start])
