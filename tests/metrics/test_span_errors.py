"""What is wrong with spans, against a comparison of every span with every other one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.answers.spans import Spans, find_spans
from yanmo.answers.tags import TagScheme
from yanmo.metrics.span_errors import SPAN_ERRORS, count_span_errors, span_errors_M, vocabulary_recall
from yanmo.metrics.spans import labeled_spans, overlapping_M, same_span_M

SCHEME = TagScheme.of(["B-x", "B-y", "I-x", "I-y", "O"])
TAGS = {"X": 0, "Y": 1, "x": 2, "y": 3, ".": 4, "?": -1}


def spans_of(text):
    """The spans of rows of tags of one letter, separated by spaces; what begins one is a capital letter."""
    rows = text.split()
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    path_U = np.array([TAGS[one] for row in rows for one in row], dtype=np.int64)
    return find_spans(path_U, offsets, SCHEME)


def slow_error(span, others):
    """The definition, one span against all others, each (start, end, kind)."""
    start, end, kind = span
    touching = [one for one in others if one[0] < end and start < one[1]]
    if span in others:
        return "right"
    if any(one[:2] == (start, end) for one in others):
        return "wrong_kind"
    if any(one[2] == kind for one in touching):
        return "wrong_boundary"
    return "wrong_kind_and_boundary" if touching else "missing"


@pytest.mark.parametrize(
    ("found", "truth", "error"),
    [
        (".Xx.", ".Xx.", "right"),
        (".Xx.", ".Yy.", "wrong_kind"),
        (".X..", ".Xx.", "wrong_boundary"),
        (".Xxx", ".XX.", "wrong_boundary"),
        (".Xx.", ".YX.", "wrong_boundary"),
        (".X..", ".Yy.", "wrong_kind_and_boundary"),
        (".X..", "..Y.", "missing"),
        ("X.. ...", "... X..", "missing"),
    ],
)
def test_what_is_wrong_with_a_span(found, truth, error):
    assert SPAN_ERRORS[span_errors_M(spans_of(found), spans_of(truth))[0]] == error


TAGGED = st.integers(1, 12).flatmap(lambda size: st.tuples(*[st.text("XYxy.", min_size=size, max_size=size)] * 2))


@given(TAGGED)
def test_every_span_is_held_against_all_others(rows):
    found, truth = (spans_of(row) for row in rows)
    as_tuples = [
        list(zip(one.start_M.tolist(), one.end_M.tolist(), one.kind_M.tolist(), strict=True)) for one in (found, truth)
    ]
    for spans, ours, theirs in ((found, *as_tuples), (truth, *as_tuples[::-1])):
        others = truth if spans is found else found
        assert [SPAN_ERRORS[one] for one in span_errors_M(spans, others)] == [slow_error(one, theirs) for one in ours]
        meets = [any(a[0] < b[1] and b[0] < a[1] for b in theirs) for a in ours]
        assert overlapping_M(spans, others).tolist() == meets
    counts = count_span_errors(found, truth)
    assert sum(counts.values()) - counts["lost"] == len(found)
    assert counts["right"] == same_span_M(truth, found).sum()
    assert counts["lost"] <= len(truth) - counts["right"]


def test_what_was_lost_and_what_was_invented_is_counted():
    found, truth = spans_of("Xx.Y.X Y... ...."), spans_of("Xx.X.. Yy.X .X..")
    assert count_span_errors(found, truth) == {
        "right": 1,
        "wrong_kind": 1,
        "wrong_boundary": 1,
        "wrong_kind_and_boundary": 0,
        "invented": 1,
        "lost": 2,
    }


def test_without_spans_nothing_is_wrong():
    nothing = Spans(*np.zeros((4, 0), dtype=np.int64))
    assert sum(count_span_errors(nothing, nothing).values()) == 0
    assert count_span_errors(nothing, spans_of("X."))["lost"] == 1
    assert count_span_errors(spans_of("X."), nothing)["invented"] == 1


def test_words_that_training_has_not_are_counted_apart():
    labels = ["B", "E", "M", "S"]
    scheme, texts = TagScheme.of(labels), ["我来到北京", "北京大"]
    truth_U, path_U = (np.array([labels.index(one) for one in tags]) for tags in ("SBEBEBES", "SBESSBES"))
    offsets, places = np.array([0, 5, 8]), np.array([[place, place + 1] for place in (0, 1, 2, 3, 4, 0, 1, 2)])
    found, truth = labeled_spans(path_U, truth_U, offsets, scheme)
    words = truth.texts(texts, places)
    assert words == ["我", "来到", "北京", "北京", "大"]
    recall = vocabulary_recall(words, same_span_M(truth, found), {"我", "来到", "大"})
    assert recall == pytest.approx((2 / 5, 1 / 2, 1.0))
    assert np.isnan(vocabulary_recall([], np.zeros(0, dtype=bool), set())).all()
    assert np.isnan(vocabulary_recall(["a"], np.array([True]), {"a"}).new_recall)
