"""Spans as arrays are the tuples that they stand for."""

import numpy as np
import pytest

from yanmo.answers.answered import Span
from yanmo.answers.span_rows import SpanRows

TEXTS = ["new york", "far", "Rome"]
ROWS = [(Span(0, 8, "place", 0.5), Span(12, 15, "how", 0.25)), (), (Span(3, 7, "place", 0.75),)]


@pytest.fixture
def column():
    places_M2, kind_M = np.array([[0, 8], [12, 15], [3, 7]]), np.array([1, 0, 1])
    probability_M = np.array([0.5, 0.25, 0.75], dtype=np.float32)
    return SpanRows(places_M2, kind_M, probability_M, kinds=("how", "place"), ends=np.array([0, 2, 2, 3]))


def test_rows_are_made_one_by_one_some_or_all(column):
    assert column == ROWS
    assert len(column) == 3
    assert [column[row] for row in (0, 1, 2, -1)] == [*ROWS, ROWS[-1]]
    assert column[1:] == ROWS[1:]
    assert column[::-1] == ROWS[::-1]
    assert column[3:] == []
    with pytest.raises(IndexError):
        column[3]
    assert column != ROWS[:2]
    assert column.labels() == ["place", "how", "place"]


def test_with_their_texts_spans_say_what_stands_there(column):
    told = column.with_texts(TEXTS)
    assert [[span.text for span in spans] for spans in told] == [["new york", "far"], [], ["Rome"]]
    assert told[2][0].text == "Rome"
    assert [spans[0].text for spans in told[2:]] == ["Rome"]
