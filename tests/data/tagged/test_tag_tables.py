"""Tables whose cells hold lists become rows of words with tags; what cannot be read is refused, row by row."""

from __future__ import annotations

import json
from collections import Counter

import polars as pl
import pytest

import yanmo
from yanmo.data.read import ReadOptions
from yanmo.data.tagged.json_spans import JsonKeys
from yanmo.data.tagged.tag_tables import names_inside, read_tag_table
from yanmo.errors import DataError

NAMES = ["O", "B-LOC", "I-LOC"]
TOKENS = [["in", "New", "York"], ["at", "home"], ["Rome", "is", "far"], ["to", "Bonn"]]
NUMBERS = [[0, 1, 2], [0, 0], [1, 0, 0], [0, 7]]


def read(path, **keys):
    return list(read_tag_table(path, ReadOptions(), JsonKeys(**keys), Counter()))


def write_csv(path, rows):
    pl.DataFrame(rows).write_csv(path)
    return path


@pytest.fixture
def hub_file(tmp_path):
    """A Parquet file as ``datasets`` writes it: numbers, and their names in the metadata."""
    feature = {"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "Sequence"}
    told = {"info": {"features": {"tokens": {"feature": {"dtype": "string"}}, "ner_tags": feature}}}
    frame = pl.DataFrame({"id": list("abcd"), "tokens": TOKENS, "ner_tags": NUMBERS})
    frame.write_parquet(tmp_path / "train.parquet", metadata={"huggingface": json.dumps(told)})
    return tmp_path / "train.parquet"


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        ("in Rome", "O B-LOC"),
        ('["in", "Rome"]', '["O", "B-LOC"]'),
        ("['in', 'Rome']", "['O', 'B-LOC']"),
        ("in Rome", "['O', 'B-LOC']"),
        ("['in' 'Rome']", "['O'\n 'B-LOC']"),
    ],
)
def test_lists_in_cells_are_read_however_they_are_written(words, tags, tmp_path):
    path = write_csv(tmp_path / "a.csv", {"text": [words], "tags": [tags]})
    (row,) = read(path)
    assert (row.line, row.words, row.tags) == (2, ["in", "Rome"], ["O", "B-LOC"])


def test_a_text_beside_its_spans_is_a_text(tmp_path):
    path = write_csv(tmp_path / "a.csv", {"text": ["in Rome", "at home"], "label": ['[[3, 7, "LOC"]]', "[]"]})
    row, other = read(path)
    assert (other.text, other.spans, other.problem) == ("at home", [], None)
    assert (row.text, [(one.start, one.end, one.kind) for one in row.spans]) == ("in Rome", [(3, 7, "LOC")])


def test_rows_that_cannot_be_read_are_refused_and_the_others_are_kept(tmp_path):
    rows = {"tokens": ["in Rome", "in Rome", "at home"], "tags": ["O B-LOC", "O", None]}
    found = read(write_csv(tmp_path / "a.csv", rows))
    assert [row.problem for row in found] == [None, "not a tag for every word", "missing label"]


def test_a_column_that_is_not_there_is_named(tmp_path):
    path = write_csv(tmp_path / "a.csv", {"tokens": ["in Rome"], "tags": ["O O"]})
    with pytest.raises(DataError, match="'ner'"):
        read(path, text="tokens", label="ner")


def test_a_file_of_the_hub_says_the_names_of_its_numbers(hub_file, tmp_path):
    assert list(names_inside(hub_file, None).values()) == NAMES
    assert not names_inside(hub_file, "pos_tags")
    data = yanmo.prepare(hub_file, out=tmp_path / "data", task="token_labels", id="id", test_ratio=0, valid_ratio=0)
    assert data.labels == ["B-LOC", "I-LOC", "O"]
    assert data.split("train")["label"].to_list() == [["O", "B-LOC", "I-LOC"], ["O", "O"], ["B-LOC", "O", "O"]]
    (refused,) = [json.loads(line) for line in (data.path / "rejected.jsonl").read_text("utf-8").splitlines()]
    assert (refused["id"], refused["reason"]) == ("d", "tag without a name")


def test_the_names_are_those_of_the_column_of_the_tags(tmp_path):
    names = {"pos_tags": ["NN", "VB", "IN"], "ner_tags": ["O", "B-LOC", "I-LOC"]}
    features = {name: {"feature": {"names": one}} for name, one in names.items()}
    path = tmp_path / "train.parquet"
    frame = pl.DataFrame({"tokens": TOKENS, "pos_tags": NUMBERS, "ner_tags": NUMBERS})
    frame.write_parquet(path, metadata={"huggingface": json.dumps({"info": {"features": features}})})
    assert list(names_inside(path, None).values()) == names["ner_tags"]
    assert list(names_inside(path, "pos_tags").values()) == names["pos_tags"]


def test_kinds_of_spans_that_are_numbers_have_names_too(tmp_path):
    rows = [{"text": f"in Rome {number}", "label": [[3, 7, 1]]} for number in range(20)]
    rows += [{"text": f"see Rosa {number}", "label": [[4, 8, 0]]} for number in range(20)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = yanmo.prepare(path, task="token_labels", label_names="PER,LOC", out=tmp_path / "data")
    assert {"B-LOC", "B-PER"} <= set(made.labels)


def test_a_text_in_brackets_is_a_text(tmp_path):
    (row,) = read(write_csv(tmp_path / "rows.csv", {"text": ["[2007]"], "label": ["[]"]}))
    assert row.text == "[2007]"


def test_names_that_are_given_come_before_those_of_the_file(hub_file, tmp_path):
    given = {"task": "token_labels", "label_names": "O,B-place,I-place", "test_ratio": 0, "valid_ratio": 0}
    data = yanmo.prepare(hub_file, out=tmp_path / "data", **given)
    assert data.labels == ["B-place", "I-place", "O"]


def test_numbers_without_names_are_an_error_with_what_to_do(tmp_path):
    pl.DataFrame({"tokens": TOKENS, "ner_tags": NUMBERS}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="tags that are numbers") as caught:
        yanmo.prepare(tmp_path / "a.parquet", out=tmp_path / "data", task="token_labels")
    assert "--label-names" in caught.value.hint


def test_numbers_in_columns_have_names_too(tmp_path):
    (tmp_path / "a.conll").write_text("in\t0\nRome\t1\n\nBonn\t9\n\nat\t0\n\n", "utf-8")
    given = {"task": "token_labels", "label_names": "O,B-LOC", "test_ratio": 0, "valid_ratio": 0}
    data = yanmo.prepare(tmp_path / "a.conll", out=tmp_path / "data", **given)
    assert data.labels == ["B-LOC", "O"]
    assert data.split("train").height == 2
