"""Rows of all files with a Dataset's names: numbered over all blocks, their ids checked, their places told."""

import hashlib

import polars as pl
import pytest

from yanmo.data.read import ReadOptions
from yanmo.data.rows import check_blocks, check_ids, file_parents, number_rows, place, read_rows
from yanmo.errors import DataError


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def read(files, columns):
    return list(read_rows(files, ReadOptions(), columns))


def test_rows_have_a_datasets_names_and_numbers_over_all_files(tmp_path, caplog):
    caplog.set_level("INFO")
    first = write(tmp_path, "a.csv", "y,x,z\n1,one,no\n0,two,no\n")
    second = write(tmp_path, "b.csv", "x,y\nthree,1\n")
    blocks = read({"train": [first], "test": [second]}, {"text": "x", "label": "y"})
    rows = pl.concat(blocks)
    assert set(rows.columns) == {"id", "text", "raw_label", "split", "_file", "_line"}
    assert rows.select("id", "text", "raw_label", "split", "_line").rows() == [
        ("1", "one", "1", "train", 2),
        ("2", "two", "0", "train", 3),
        ("3", "three", "1", "test", 2),
    ]
    assert rows["_file"].to_list() == [str(first), str(first), str(second)]
    assert caplog.messages == [f"{first}: 2 rows", f"{second}: 1 row"]


def test_ids_of_the_user_stay_and_unlabeled_files_need_no_label(tmp_path):
    labeled = write(tmp_path, "a.csv", "i,x,x2,y\nr7,one,two,1\n")
    unlabeled = write(tmp_path, "u.csv", "i,x,x2\nr8,three,four\n")
    columns = {"id": "i", "text": "x", "text_b": "x2", "label": "y"}
    rows = pl.concat(read({"train": [labeled], "unlabeled": [unlabeled]}, columns))
    assert rows.columns == ["id", "text", "text_b", "raw_label", "split", "_file", "_line"]
    assert rows.select("id", "text_b", "raw_label", "split").rows() == [
        ("r7", "two", "1", "train"),
        ("r8", "four", None, "unlabeled"),
    ]
    with pytest.raises(DataError, match="y"):
        read({"train": [unlabeled]}, columns)


def test_numbers_go_on_after_those_before():
    assert number_rows(pl.DataFrame({"text": ["a", "b"]}), 5)["id"].to_list() == ["6", "7"]


def rows_of(*ids, file="a.csv"):
    return pl.DataFrame({"id": ids, "_file": [file] * len(ids), "_line": range(2, 2 + len(ids))})


def test_an_id_that_stands_twice_is_told_with_both_places_in_whatever_block():
    check_ids(rows_of("a", "b"))
    said = "The id 'b' stands more than once: a.csv line 3 and a.csv line 4."
    with pytest.raises(DataError) as caught:
        check_ids(rows_of("a", "b", "b"))
    assert caught.value.message == said
    blocks = [rows_of("a", "b"), rows_of("c", "b", file="b.parquet")]
    assert check_blocks(lambda: blocks, has_ids=False) == 4
    with pytest.raises(DataError, match=r"The id 'b' stands more than once: a.csv line 3 and b.parquet row 3\."):
        check_blocks(lambda: blocks, has_ids=True)
    assert check_blocks(lambda: [rows_of("a", "b"), rows_of("c")], has_ids=True) == 3
    assert check_blocks(list, has_ids=True) == 0


def test_parquet_has_rows_and_all_else_has_lines():
    assert place({"_file": "a/b.PARQUET", "_line": 3}) == "a/b.PARQUET row 3"
    assert place({"_file": "parquet.jsonl", "_line": 1}) == "parquet.jsonl line 1"


def test_parents_are_named_by_role_and_file_and_number_where_names_repeat(tmp_path):
    paths = [write(tmp_path / folder, name, folder) for folder in "xyz" for name in ("a.csv", "b.csv")]
    found = file_parents({"train": paths[:2], "test": [paths[0], *paths[2:]]})
    digest = {folder: hashlib.sha256(folder.encode()).hexdigest() for folder in "xyz"}
    assert found == {
        "train:a.csv": digest["x"],
        "train:b.csv": digest["x"],
        "test:a.csv": digest["x"],
        "test:a.csv#2": digest["y"],
        "test:b.csv": digest["y"],
        "test:a.csv#3": digest["z"],
        "test:b.csv#2": digest["z"],
    }
