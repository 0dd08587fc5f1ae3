"""Answers in passages as evidence: where an answer begins, where it ends, and how probable each span is by that.

A row has two decisions, the start and the end. Their cells are the characters of the raw passage and, as the last one,
"none": the passage has no answer. So models with different tokenizers, and the windows of one, meet at characters. One
softmax goes over all legal spans (a start, an end behind it, at most so many characters) and "none": a span's weight is
the product of its start's and its end's probability, that of "none" the product of both last cells.

It knows no text, no token and no model.

Legend: N rows, K cells of all starts, which are as many as the ends, S spans.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from yanmo.answers.pointers import Pointers
from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged

__all__ = ["BestSpans", "PassageSpans", "passage_pointers"]

START, END = 0, 1
TINY = 1e-30


class BestSpans(Struct, frozen=True):
    """The most probable span of each row, whatever the probability of "none" is.

    Attributes:
        places_N2: Its first character and the one behind its last, int64, shape (N, 2); both -1 where no span is legal.
        probability_N: Its probability, float64, 0 where no span is legal.
        none_N: The probability of "none", float64.
    """

    places_N2: IntArray
    probability_N: Doubles
    none_N: Doubles

    @property
    def is_none_N(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Where "none" is more probable than any one span."""
        return self.none_N >= self.probability_N

    @property
    def lead_N(self) -> Doubles:
        """How many nats "none" is ahead of the best span."""
        none_N, best_N = (np.maximum(one, TINY) for one in (self.none_N, self.probability_N))
        return np.asarray(np.log(none_N) - np.log(best_N))

    def texts(self, passages: Sequence[str]) -> list[str]:
        """Return the text of every best span, whatever the probability of "none" is; "" where no span is legal."""
        return [
            text[start:end] if start >= 0 else ""
            for text, (start, end) in zip(passages, self.places_N2.tolist(), strict=True)
        ]


def passage_pointers(scores_U2: FloatArray, places: Ragged, *, none_bias: float = 0.0) -> Pointers:
    """Return scores of units as evidence about characters.

    Args:
        scores_U2: That an answer begins with a unit, and that it ends with it.
        places: Where the units begin and end in their raw passage, int64, shape (U, 2), of N rows. "None" is a unit
            behind the last character, as wide as one; a passage that was read in windows has it once for each, and the
            least of its scores counts: a window without the answer says "none" however sure another one is.
        none_bias: Added to the score of "none", half of it as a start and half as an end.
    """
    begins_U, ends_U = places.values[:, 0], places.values[:, 1] - 1
    num_cells_N = np.ones(len(places), dtype=np.int64)
    row_U = np.repeat(np.arange(len(places)), places.lengths_N)
    np.maximum.at(num_cells_N, row_U, places.values[:, 1])
    cells = np.concatenate(([0], np.cumsum(np.repeat(num_cells_N, 2)))).astype(np.int64)
    values_K = np.full(int(cells[-1]), -np.inf, dtype=np.float32)
    is_none_U = begins_U == num_cells_N[row_U] - 1
    for side, cell_U in ((START, begins_U), (END, ends_U)):
        at_U = cells[2 * row_U + side] + cell_U
        values_K[at_U] = scores_U2[:, side]
        values_K[at_U[is_none_U]] = np.inf
        np.minimum.at(values_K, at_U[is_none_U], scores_U2[is_none_U, side] + np.float32(none_bias / 2))
    # A passage of which nothing was read has no answer.
    bare_N = np.flatnonzero(np.bincount(row_U[is_none_U], minlength=len(places)) == 0)
    values_K[cells[2 * bare_N + 1] - 1] = values_K[cells[2 * bare_N + 2] - 1] = 0.0
    return Pointers(values_K, cells, np.arange(0, 2 * len(places) + 1, 2, dtype=np.int64))


class PassageSpans:
    """The probabilities of spans.

    Args:
        evidence: Activated Pointers, two decisions a row.
        max_length: Most characters of a span.
    """

    def __init__(self, evidence: Pointers, max_length: int) -> None:
        decisions = Ragged(evidence.values_K, evidence.cells)
        rows = np.arange(len(evidence))
        starts, ends = decisions.take(2 * rows), decisions.take(2 * rows + 1)
        self.offsets: IntArray = starts.offsets
        self._last_N = starts.offsets[1:] - 1
        self._begin_K, self._end_K = starts.values.astype(np.float64), ends.values.astype(np.float64)
        none_N = self._begin_K[self._last_N] * self._end_K[self._last_N]
        self._begin_K[self._last_N] = self._end_K[self._last_N] = 0.0
        self._stop_K = np.repeat(self._last_N, starts.lengths_N)
        self._max_length = max_length
        self._total_N = none_N + self._masses_N()
        # Where nothing legal is left, as a start stands behind every end, there is no answer.
        self.none_N: Doubles = np.where(self._total_N > 0, none_N / np.maximum(self._total_N, 1e-300), 1.0)

    def _masses_N(self) -> Doubles:
        """Return the weights of all legal spans of each row."""
        behind = np.concatenate(([0.0], np.cumsum(self._end_K)))
        places_K = np.arange(len(self._end_K))
        reached_K = behind[np.minimum(places_K + self._max_length, self._stop_K)] - behind[places_K]
        sums = np.concatenate(([0.0], np.cumsum(self._begin_K * np.maximum(reached_K, 0.0))))
        return np.asarray(np.maximum(sums[self.offsets[1:]] - sums[self.offsets[:-1]], 0.0))

    def best(self) -> BestSpans:
        """Return the most probable span of each row."""
        num_rows = len(self._last_N)
        if not num_rows:
            return BestSpans(np.zeros((0, 2), dtype=np.int64), np.zeros(0), np.zeros(0))
        weights_K = self._begin_K * self._largest_end_K()
        start_N = np.array([row.argmax() for row in np.split(weights_K, self.offsets[1:-1])], dtype=np.int64)
        first_N = start_N + self.offsets[:-1]
        stop_N = np.minimum(first_N + self._max_length, self._last_N)
        reach = zip(first_N.tolist(), stop_N.tolist(), strict=True)
        length_N = np.array([self._end_K[a:b].argmax() + 1 if b > a else 0 for a, b in reach], dtype=np.int64)
        places_N2 = np.stack([start_N, start_N + length_N], axis=1)
        weight_N = weights_K[first_N]
        places_N2[weight_N <= 0] = -1
        return BestSpans(places_N2, weight_N / np.maximum(self._total_N, 1e-300), self.none_N)

    def _largest_end_K(self) -> Doubles:
        """Return for each start the largest probability of an end that it may have.

        The largest of a window is that of two windows half as long, so each doubling is one pass over all cells.
        """
        largest_K, places_K, width = self._end_K, np.arange(len(self._end_K)), 1
        while width < self._max_length:
            step = min(width, self._max_length - width)
            # What is behind the row's end is read at its last cell, "none", where it is 0 at every width.
            largest_K = np.maximum(largest_K, largest_K[np.minimum(places_K + step, self._stop_K)])
            width += step
        return largest_K

    def of_spans(self, spans: Ragged) -> Doubles:
        """Return the probability of given spans, float64, shape (S,).

        Args:
            spans: First characters and those behind the last ones, int64, shape (S, 2), of N rows.
        """
        offset_S = np.repeat(self.offsets[:-1], spans.lengths_N)
        total_S = np.repeat(self._total_N, spans.lengths_N)
        start_S, end_S = spans.values[:, 0], spans.values[:, 1] - 1
        weights_S = self._begin_K[offset_S + start_S] * self._end_K[offset_S + end_S]
        is_legal_S = end_S - start_S < self._max_length
        return np.asarray(np.where(is_legal_S, weights_S / np.maximum(total_S, 1e-300), 0.0))

    def several(self, row: int, number: int) -> list[tuple[int, int, float]]:
        """Return a row's most probable spans that do not overlap, each with its probability, the best first.

        Spans that share a character with a better one say nearly the same and are left out.
        """
        begin, last = int(self.offsets[row]), int(self._last_N[row])
        begins, ends = self._begin_K[begin:last].copy(), self._end_K[begin:last].copy()
        found: list[tuple[int, int, float]] = []
        while len(found) < number and begins.any():
            one = _best_of(begins, ends, self._max_length, [(start, end) for start, end, _ in found])
            if one is None:
                break
            start, end, weight = one
            found.append((start, end, float(weight / self._total_N[row])))
            begins[start:end] = ends[start:end] = 0.0
        return found


def _best_of(
    begins: Doubles, ends: Doubles, max_length: int, taken: list[tuple[int, int]]
) -> tuple[int, int, float] | None:
    """Return the best span that goes over no taken one, with its weight."""
    best: tuple[int, int, float] | None = None
    walls = sorted(start for start, _ in taken)
    for start in np.flatnonzero(begins).tolist():
        stop = min(start + max_length, len(ends), next((wall for wall in walls if wall > start), len(ends)))
        end = int(ends[start:stop].argmax()) + start
        weight = float(begins[start] * ends[end])
        if weight > 0 and (best is None or weight > best[2]):
            best = (start, end + 1, weight)
    return best
