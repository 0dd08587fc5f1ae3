"""All rows read once: what stays of them in memory, what waits on disk, and what is refused on the way."""

import json

import polars as pl
import pytest

from yanmo.data.gather import gather_rows
from yanmo.data.labels import LabelReader
from yanmo.data.spill import Spill
from yanmo.errors import DataError
from yanmo.tasks import get_task


def block(rows, split="train", first=2):
    """Return a block as it is read: rows of id, text and raw label, perhaps with a second text before the label."""
    names = ["id", "text", "raw_label"] if len(rows[0]) == 3 else ["id", "text", "text_b", "raw_label"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    lines = pl.int_range(first, first + len(rows), eager=True).alias("_line")
    return frame.with_columns(pl.lit(split).alias("split"), pl.lit("a.csv").alias("_file"), lines)


@pytest.fixture
def gather(tmp_path):
    """Return what gathers blocks: what is gathered, the stored rows, and the refused ones."""

    def gather(blocks, task="single_label", *, has_ids=False, max_rejected=0.5, cleaning=("lowercase",)):
        options = {"max_rejected": max_rejected, "has_ids": has_ids, "rejected": tmp_path / "rejected.jsonl"}
        with Spill(tmp_path / "spill") as spill:
            found = gather_rows(blocks, LabelReader(get_task(task), separator=","), cleaning, spill=spill, **options)
            stored = pl.concat(list(spill.read()))
        return found, stored, [json.loads(line) for line in options["rejected"].read_text().splitlines()]

    return gather


def test_equal_cleaned_texts_have_one_key_numbered_by_first_sight(gather):
    blocks = [
        block([("1", "Good 好", "a"), ("2", "bad", "b"), ("3", "", "b")]),
        block([("4", "gOOD 好", "b"), ("5", "\ufffdx", "a")], "test"),
    ]
    found, stored, rejected = gather(blocks)
    assert found.rows.select("key", "label", "split", "length", "num_characters", "_line").rows() == [
        (0, "a", "train", 6, 6, 2),
        (1, "b", "train", 3, 3, 3),
        (0, "b", "test", 6, 6, 2),
        (2, "a", "test", 2, 2, 3),
    ]
    assert stored.rows() == [("1", "Good 好"), ("2", "bad"), ("4", "gOOD 好"), ("5", "\ufffdx")]
    assert [(one["id"], one["reason"]) for one in rejected] == [("3", "empty text")]
    assert found.refusals.counts() == {"empty text": 1}
    assert found.changed_rows == {"lowercase": 2}
    assert found.num_damaged == 1
    assert found.cjk_share == pytest.approx(2 / 14)


def test_the_lengths_of_pairs_are_of_both_texts_and_their_order_matters(gather):
    found, stored, _ = gather([block([("1", "ab", "c", "y"), ("2", "c", "ab", "y")])], "text_pair")
    assert found.rows.select("key", "length", "num_characters").rows() == [(0, 3, 2), (1, 3, 1)]
    assert stored.columns == ["id", "text", "text_b"]
    assert found.cjk_share == 0.0


def test_texts_without_a_letter_have_no_share(gather):
    for text in ("123", "?!…"):
        assert gather([block([("1", text, "y")])])[0].cjk_share == 0.0


def test_an_id_stands_once_where_ids_are_the_users(gather):
    blocks = [block([("1", "a", "x"), ("2", "b", "x")]), block([("1", "c", "x")], first=9)]
    assert gather(blocks)[0].rows.height == 3
    with pytest.raises(DataError, match=r"The id '1' stands more than once: a.csv line 2 and a.csv line 9\."):
        gather(blocks, has_ids=True)
    assert "id_hash" not in gather(blocks[:1], has_ids=True)[0].rows.columns


def test_more_refused_rows_than_may_be_are_an_error(gather):
    blocks = [block([("1", "", "x"), ("2", "b", "x"), ("3", "c", "x")])]
    gather(blocks, max_rejected=0.34)
    with pytest.raises(DataError, match="1 of 3 rows were refused"):
        gather(blocks, max_rejected=0.33)
