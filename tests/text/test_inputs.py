"""Inputs are columns of the same rows: taken, changed and given back without a row meeting another's text."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from yanmo.text.inputs import Inputs

TEXTS = ["很快", "", "cold & late", "\ud800", "好"]
PAIRS = [(text, f"{place}") for place, text in enumerate(TEXTS)]
WIDTHS = pytest.mark.parametrize(
    ("items", "num_columns"), [(TEXTS, 1), (PAIRS, 2), ([(*row, "c") for row in PAIRS], 3)]
)


@WIDTHS
def test_rows_that_were_given_one_by_one_come_back_so(items, num_columns):
    inputs = Inputs.of_items(items, num_columns)
    assert len(inputs.columns) == num_columns
    assert len(inputs) == len(TEXTS)
    assert inputs.items() == items
    assert list(inputs.first) == TEXTS


@WIDTHS
def test_taken_rows_keep_their_texts_together_and_their_order(items, num_columns):
    inputs = Inputs.of_items(items, num_columns)
    assert inputs.take(np.array([4, 0, 4])).items() == [items[4], items[0], items[4]]
    assert len(inputs.take(np.array([], dtype=np.int64))) == 0


@pytest.mark.parametrize("num_columns", [1, 2, 3])
def test_no_rows_have_the_columns_of_their_task_still(num_columns):
    inputs = Inputs.of_items([], num_columns)
    assert [list(column) for column in inputs.columns] == [[]] * num_columns
    assert len(inputs) == 0
    assert inputs.items() == []


def test_only_pairs_have_a_second_column():
    assert Inputs((TEXTS,)).second is None
    assert Inputs((TEXTS, TEXTS[::-1])).second == TEXTS[::-1]


@pytest.mark.parametrize("is_segmented", [True, False])
def test_that_they_are_segmented_is_kept(is_segmented):
    inputs = Inputs((["a b", "c"],), is_segmented)
    assert inputs.take(np.array([1])).is_segmented == is_segmented


def test_of_a_frame_the_named_columns_are_read_in_the_order_of_the_names():
    frame = pl.DataFrame({"id": ["1", "2"], "text_b": ["c", "d"], "label": ["x", "y"], "text": ["a", "b"]})
    assert Inputs.of_frame(frame, ("text",)) == Inputs((["a", "b"],))
    pairs = Inputs.of_frame(frame, ("text", "text_b"), is_segmented=True)
    assert pairs.items() == [("a", "c"), ("b", "d")]
    assert pairs.is_segmented
    assert len(Inputs.of_frame(frame[:0], ("text", "text_b"))) == 0


def test_they_are_not_changed_in_place():
    inputs = Inputs((TEXTS,))
    with pytest.raises(AttributeError):
        inputs.columns = (TEXTS, TEXTS)
