"""Which rows are refused, for which reason, what is said of them, and what is written down."""

import io
import json

import polars as pl
import pytest

from yanmo.data.refuse import REASONS, Refusals, clean_rows, refusal_reasons, write_rejected
from yanmo.errors import DataError


def reasons(**columns):
    usual = {"id": "1", "text": "good", "clean_text": "good", "label_problem": None, "split": "train"}
    row = {**usual, **columns}
    frame = pl.DataFrame({name: pl.Series([value], dtype=pl.String) for name, value in row.items()})
    return refusal_reasons(frame, [name for name in ("text", "text_b") if name in row])[0]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({}, None),
        ({"id": None}, "missing id"),
        ({"id": ""}, "missing id"),
        ({"text": None, "clean_text": ""}, "missing text"),
        ({"text": " \t", "clean_text": ""}, "empty text"),
        ({"text": "a\0"}, "NUL character in text"),
        ({"clean_text": " "}, "empty after cleaning"),
        ({"label_problem": "missing label"}, "missing label"),
        ({"label_problem": "control character in label"}, "control character in label"),
        ({"label_problem": "list of labels"}, "list of labels"),
        ({"label_problem": "unreadable label"}, "unreadable label"),
        ({"label_problem": "missing label", "split": "unlabeled"}, None),
        ({"label_problem": "unreadable label", "split": "unlabeled"}, None),
        ({"text_b": "b", "clean_text_b": "b"}, None),
        ({"text_b": None, "clean_text_b": ""}, "missing text"),
        ({"text_b": "", "clean_text_b": ""}, "empty text"),
        ({"text_b": "\0", "clean_text_b": "b"}, "NUL character in text"),
        ({"text_b": "b", "clean_text_b": ""}, "empty after cleaning"),
        ({"id": "", "text": None, "label_problem": "missing label"}, "missing id"),
    ],
)
def test_the_first_reason_counts(columns, reason):
    assert reasons(**columns) == reason


def test_a_step_counts_the_rows_that_it_changed_itself():
    rows = pl.DataFrame({"text": ["A b", "a b", None], "text_b": ["c  d", "E", "f"]})
    found, changed = clean_rows(rows, ["lowercase", "collapse_whitespace"], ["text", "text_b"])
    assert changed == {"lowercase": 2, "collapse_whitespace": 1}
    assert found.select("text", "clean_text", "clean_text_b").rows() == [
        ("A b", "a b", "c d"),
        ("a b", "a b", "e"),
        (None, "", "f"),
    ]
    assert clean_rows(rows, [], ["text"])[1] == {}


def refused(*blocks):
    """Return the refusals of blocks: a split, and the reasons of its rows."""
    found, line = Refusals(), 2
    for split, given in blocks:
        rows = {"reason": given, "_file": ["a.csv"] * len(given), "_line": range(line, line + len(given))}
        found.add(pl.DataFrame(rows, schema_overrides={"reason": pl.String}), split)
        line += len(given)
    return found


def test_refusals_are_counted_in_the_order_of_the_reasons_over_all_splits():
    found = refused(
        ("train", ["missing label", None, "missing id"]),
        ("test", ["missing label", None]),
        ("train", ["empty text", None]),
    )
    assert list(found.counts().items()) == [("missing id", 1), ("empty text", 1), ("missing label", 2)]
    assert list(found.counts()) == sorted(found.counts(), key=REASONS.index)
    assert refused().counts() == {}


def test_a_share_up_to_the_largest_is_a_warning_and_more_an_error(caplog):
    found = refused(("train", [None, "empty text", None, "missing id"]), ("test", [None]))
    found.check_share(0.4)
    assert caplog.messages == ["2 of 5 rows were refused (missing id: 1, empty text: 1); they are in rejected.jsonl."]
    with pytest.raises(DataError) as caught:
        found.check_share(0.39)
    assert caught.value.message == (
        "2 of 5 rows were refused (missing id: 1, empty text: 1); the first is a.csv line 3."
    )
    caplog.clear()
    refused(("train", [None])).check_share(0.0)
    assert not caplog.messages


def test_a_split_without_a_row_is_an_error_whatever_the_share():
    found = refused(("train", [None] * 9), ("valid", ["missing id", "missing id"]), ("test", [None]))
    with pytest.raises(DataError, match=r"^For valid, 2 of 2 rows were refused \(missing id: 2\); the first is a.csv"):
        found.check_share(1.0)


def test_what_was_refused_is_written_with_the_start_of_its_text():
    file = io.BytesIO(b"before\n")
    file.seek(0, io.SEEK_END)
    rows = {"_file": ["folder/a.csv"], "_line": [7], "id": [None], "reason": ["missing id"], "raw_label": ["x"]}
    write_rejected(file, pl.DataFrame({**rows, "text": ["字" * 81]}), "text")
    before, line, end = file.getvalue().split(b"\n")
    assert (before, end) == (b"before", b"")
    assert json.loads(line) == {
        "file": "a.csv", "line": 7, "id": None, "reason": "missing id", "label": "x", "text": "字" * 80,
    }  # fmt: skip
