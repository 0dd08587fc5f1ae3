"""What is counted in rows of tagged units, and the measures of it: spans that are right, and units; it knows no text.

A span is right where its first unit, its last unit and its kind are. With plain tags every unit is a span, so that F1
is there for them, too. Units without a label (-1) are left out: a found span with one in it is not counted, nor is a
span of the truth that goes on with what stood there.

Legend: U units of N rows, C tags, K kinds of spans. The statistics of a row, S = 3 K + 6: how many spans of each kind
there are, were found, and were found rightly; how many spans of the truth and how many found ones are not right but
overlap one of their kind; how many units are right; how many units have a label; whether the row is right as a whole;
and 1.

Source: Tjong Kim Sang, De Meulder 2003, "Introduction to the CoNLL-2003 Shared Task", section 3 (exact spans).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.answers.spans import Spans, find_spans
from yanmo.answers.tags import NONE, TagScheme
from yanmo.arrays import Array, Doubles, IntArray
from yanmo.metrics.measures import Measure
from yanmo.metrics.scores import LabelCounts, macro_f1, micro_f1, precision_recall_f1

__all__ = [
    "SPAN_MEASURES",
    "UNIT_MEASURES",
    "count_spans",
    "labeled_spans",
    "measures_of",
    "overlapping_M",
    "right_tag_rows",
    "same_place",
    "same_span_M",
    "span_statistics",
]

# Places of a row's last statistics, counted from the end, since K differs.
NEAR_TRUTH, NEAR_FOUND, RIGHT_UNITS, UNITS, RIGHT, ROW = range(-6, 0)


def labeled_spans(
    path_U: IntArray, truth_U: IntArray, offsets: IntArray, scheme: TagScheme, *, strict: bool = False
) -> tuple[Spans, Spans]:
    """Return the spans that were found and those of the truth, without those that touch units without a label.

    Args:
        path_U: The tags that were chosen.
        truth_U: The tags that hold; -1 where a unit has no label.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Of the tags.
        strict: As :func:`find_spans` takes it.
    """
    found = find_spans(path_U, offsets, scheme, strict=strict)
    truth = find_spans(truth_U, offsets, scheme, strict=strict)
    unlabeled_U = np.concatenate(([0], np.cumsum(truth_U < 0)))
    if not unlabeled_U[-1]:
        return found, truth
    # What begins by going on, right behind a unit without a label, is the rest of a span that nobody knows.
    behind_M = (truth.start_M > offsets[truth.row_M]) & (truth_U[truth.start_M - 1] < 0)
    is_rest_M = behind_M & (scheme.needs_C[truth_U[truth.start_M]] != NONE)
    return found.take(unlabeled_U[found.end_M] == unlabeled_U[found.start_M]), truth.take(~is_rest_M)


def same_place(spans: Spans, others: Spans) -> tuple[IntArray, IntArray]:
    """Return which spans have one of the others at their place, of whatever kind, and which these are."""
    # Spans do not overlap, so only the one with the same first unit can be the same.
    _, ours, theirs = np.intersect1d(spans.start_M, others.start_M, assume_unique=True, return_indices=True)
    same = spans.end_M[ours] == others.end_M[theirs]
    return ours[same], theirs[same]


def same_span_M(spans: Spans, others: Spans) -> npt.NDArray[np.bool_]:
    """Return which spans are among the others, with their kind, bool, shape (M,)."""
    ours, theirs = same_place(spans, others)
    same = np.zeros(len(spans), dtype=np.bool_)
    same[ours] = spans.kind_M[ours] == others.kind_M[theirs]
    return same


def overlapping_M(spans: Spans, others: Spans, *, of_kind: bool = False) -> npt.NDArray[np.bool_]:
    """Return which spans have a unit in common with one of the others, bool, shape (M,).

    Args:
        spans: M spans.
        others: What they are held against.
        of_kind: Whether only others of their own kind count.
    """
    start_M, end_M, starts, ends = spans.start_M, spans.end_M, others.start_M, others.end_M
    if of_kind:
        # Every kind gets a stretch of its own, so that no two kinds overlap.
        stretch = max(end_M.max(initial=0), ends.max(initial=0)) + 1
        order = np.argsort(others.kind_M, kind="stable")
        start_M, end_M = (one + spans.kind_M * stretch for one in (start_M, end_M))
        starts, ends = ((one + others.kind_M * stretch)[order] for one in (starts, ends))
    # Of those that end behind the span's start, the first must begin before the span's end.
    first_M = np.searchsorted(ends, start_M, side="right")
    return np.asarray(np.append(starts, np.iinfo(np.int64).max)[first_M] < end_M)


def span_statistics(path_U: IntArray, truth_U: IntArray, offsets: IntArray, scheme: TagScheme) -> Doubles:
    """Return what is counted in each row, float64, shape (N, 3 K + 6).

    Args:
        path_U: The tags that were chosen.
        truth_U: The tags that hold; -1 where a unit has no label.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Of the tags.
    """
    num_rows, num_kinds = len(offsets) - 1, len(scheme.kinds)
    found, truth = labeled_spans(path_U, truth_U, offsets, scheme)
    right_M = same_span_M(found, truth)
    counts = [_count(spans, num_rows, num_kinds) for spans in (truth, found, found.take(right_M))]
    lost, wrong = truth.take(~same_span_M(truth, found)), found.take(~right_M)
    nearest = [(lost, found), (wrong, truth)]
    near = [np.bincount(a.row_M[overlapping_M(a, b, of_kind=True)], minlength=num_rows) for a, b in nearest]
    labeled_U = truth_U >= 0
    right_N = _sum_rows(labeled_U & (path_U == truth_U), offsets)
    units_N = _sum_rows(labeled_U, offsets)
    columns = [*near, right_N, units_N, right_N == units_N, np.ones(num_rows)]
    return np.column_stack([*counts, *columns]).astype(np.float64)


def _count(spans: Spans, num_rows: int, num_kinds: int) -> IntArray:
    """Return how many spans of each kind each row has, shape (N, K)."""
    cells = np.bincount(spans.row_M * num_kinds + spans.kind_M, minlength=num_rows * num_kinds)
    return cells.reshape(num_rows, num_kinds)


def _sum_rows(values_U: Array, offsets: IntArray) -> IntArray:
    sums_U = np.concatenate(([0], np.cumsum(values_U)))
    return np.asarray(sums_U[offsets[1:]] - sums_U[offsets[:-1]])


def count_spans(sums: Doubles) -> LabelCounts:
    """Return the counts of every kind, each of shape (..., K), of summed statistics, shape (..., 3 K + 6)."""
    num_kinds = (sums.shape[-1] + NEAR_TRUTH) // 3
    truth, found, hits = (sums[..., place * num_kinds : (place + 1) * num_kinds] for place in range(3))
    return LabelCounts(hits, found, truth)


def right_tag_rows(statistics_NS: Array) -> npt.NDArray[np.bool_]:
    """Return which rows have no unit with a wrong tag, shape (N,)."""
    return np.asarray(statistics_NS[:, RIGHT].astype(bool))


def _whole(sums: Doubles) -> LabelCounts:
    return LabelCounts(*(one.sum(axis=-1) for one in count_spans(sums)))


def _partial_f1(sums: Doubles) -> Doubles:
    hits, found, truth = _whole(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = (hits + sums[..., NEAR_FOUND] / 2) / found
        recall = (hits + sums[..., NEAR_TRUTH] / 2) / truth
        f1 = 2 * precision * recall / (precision + recall)
    # As the F1 of exact spans: 0 where one side has no spans at all or nothing overlaps, none where both have none.
    return np.where(found + truth > 0, np.nan_to_num(f1), np.nan)


def _ratio(sums: Doubles, above: int, below: int) -> Doubles:
    total = np.asarray(sums[..., below])
    return np.asarray(np.divide(sums[..., above], total, out=np.full(total.shape, np.nan), where=total != 0))


SPAN_F1 = Measure("span_f1", lambda sums: micro_f1(count_spans(sums)), "F1 of spans")
UNIT_ACCURACY = Measure("unit_accuracy", lambda sums: _ratio(sums, RIGHT_UNITS, UNITS), "accuracy of units")
MACRO_SPAN_F1 = Measure("macro_span_f1", lambda sums: macro_f1(count_spans(sums)), "macro F1 of spans", is_second=True)
RIGHT_ROWS = Measure("right_rows", lambda sums: _ratio(sums, RIGHT, ROW), "rows right", is_share=True)

SPAN_MEASURES = (
    SPAN_F1,
    Measure("span_precision", lambda sums: precision_recall_f1(_whole(sums))[0], "precision of spans"),
    Measure("span_recall", lambda sums: precision_recall_f1(_whole(sums))[1], "recall of spans"),
    MACRO_SPAN_F1,
    Measure("partial_span_f1", _partial_f1, "partial F1 of spans"),
    UNIT_ACCURACY,
    RIGHT_ROWS,
)
"""F1, precision and recall of exact spans of all kinds together; the mean F1 of the kinds that occur; F1 where a span
that overlaps one of its kind counts one half; the share of units and of whole rows that are right.

Source: Segura-Bedmar et al. 2013, "SemEval-2013 Task 9", section 4 (partial matches). Differs: the kind must be right.
"""

UNIT_MEASURES = (UNIT_ACCURACY, MACRO_SPAN_F1, RIGHT_ROWS)
"""The measures of plain tags."""


def measures_of(scheme: TagScheme) -> tuple[Measure, ...]:
    """Return what answers in a scheme are measured by, the headline first."""
    return UNIT_MEASURES if scheme.is_plain else SPAN_MEASURES
