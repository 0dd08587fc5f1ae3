"""The spans of N rows as arrays; those of a row become objects when somebody asks for them. It knows no model.

A segmented text has more words than a text has answers, so whoever counts or writes spans makes no object a word.

Legend: M spans of N rows, K kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import overload

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
        texts: The N texts, where they are at hand.
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

    def within(self, texts: Sequence[str]) -> SpanRows:
        """Return the spans with what stands there in their texts."""
        arrays = self.places_M2, self.kind_M, self.probability_M
        return SpanRows(*arrays, kinds=self.kinds, ends=self.ends, texts=texts)

    def labels(self) -> list[str]:
        """Return the names of the kinds of all spans, one row after the other."""
        return [self.kinds[kind] for kind in self.kind_M.tolist()]

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
        kinds = [self.kinds[kind] for kind in self.kind_M[some].tolist()]
        columns: list[list[int] | list[str] | list[float]] = [starts, ends, kinds, self.probability_M[some].tolist()]
        bounds = [bound - some.start for bound in bounds]
        if self._texts is not None:
            texts = self._texts[rows.start : rows.stop]
            columns.append(
                [
                    text[start:end]
                    for text, (first, last) in zip(texts, pairwise(bounds), strict=True)
                    for start, end in zip(starts[first:last], ends[first:last], strict=True)
                ]
            )
        flat = list(map(Span, *columns))
        for first, last in pairwise(bounds):
            yield tuple(flat[first:last])
