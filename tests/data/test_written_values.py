"""Lists and tables in cells are read as JSON, Python and numpy write them; a text that begins like one is none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.data.written_values import lists_as_json, read_value, read_written, shortened

TEXTS = st.text("ab ,'\"[]()…中\\.\n", max_size=6)
VALUES = st.one_of(TEXTS, st.integers(-9, 999), st.booleans(), st.none())


@given(st.lists(VALUES, max_size=5))
def test_what_python_and_json_write_is_read_again(values: list[Any]) -> None:
    assert read_written(str(values)) == read_written(str(tuple(values))) == values
    assert read_value(json.dumps(values)) == read_value(str(values)) == values
    assert read_value(str({"text": values})) == {"text": values}


@given(st.one_of(*(st.lists(kind, min_size=2, max_size=40) for kind in (TEXTS, st.integers(0, 99), st.booleans()))))
def test_what_numpy_writes_is_read_again(values: list[Any]) -> None:
    array = np.array(values)
    assert read_value(str(array)) == read_value(repr(array)) == values
    assert read_value(str(np.array([values, values]))) == [values, values]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("[1. 0. nan]", [1.0, 0.0, None]),
        ("tensor([1, 0])", [1, 0]),
        ("{'text': array(['a b'], dtype=object), 'answer_start': array([3])}", {"text": ["a b"], "answer_start": [3]}),
        ("{'b'}", ["b"]),
    ],
)
def test_what_others_write(cell: str, value: Any) -> None:
    assert read_value(cell) == value


@pytest.mark.parametrize(
    "cell",
    [
        "[sic] a text",
        "[1] [2]",
        "[urgent]",
        "(1)",
        "(a, b)",
        "['a'",
        "[open('x')]",
        "[1 + 2]",
        "array('i')",
        "{1: b}",
        "[",
    ],
)
def test_a_text_that_begins_like_a_list_is_none(cell: str) -> None:
    with pytest.raises(ValueError, match="no list and no table"):
        read_value(cell)
    assert lists_as_json(pl.Series([cell, None])).to_list() == [cell, None]


def test_brackets_without_an_end_are_no_list() -> None:
    with pytest.raises(ValueError, match="no list and no table"):
        read_value("[" * 100_000)


def test_what_numpy_left_out_is_noticed() -> None:
    long = np.arange(2000)
    cells = pl.Series([str(long), repr(long), str(long[:3]), "[so ... it goes]", "a ... b", None])
    assert shortened(cells).to_list() == [True, True, False, False, False, False]
