"""Texts to learn to read from: every split but test, no label, a document a line."""

import polars as pl
import pytest

from yanmo.artifacts.base import Identity, publish
from yanmo.data.corpora import open_texts
from yanmo.data.read import ReadOptions
from yanmo.errors import DataError
from yanmo.text.pipeline import TextConfig


def make_dataset(folder, task="single_label", cleaning=("unicode_nfkc",)):
    info = {"text": TextConfig(cleaning=cleaning).model_dump(mode="json")}
    identity = {"kind": "dataset", "verb": "prepare", "task": task, "labels": ["x"], "parents": {}, "config": {}}
    with publish(folder, Identity(**identity, info=info)) as staging:
        for split in ("train", "valid", "test", "unlabeled"):
            rows = {"id": ["1"], "text": [f"{split}１"], "text_b": [f"{split} b"], "label": ["x"]}
            if task != "text_pair":
                del rows["text_b"]
            if split == "unlabeled":
                del rows["label"]
            pl.DataFrame(rows).write_parquet(staging / f"{split}.parquet")
    return folder


def read(sources, column="text", **options):
    return [text for block in open_texts(sources, ReadOptions(**options), column).blocks() for text in block]


def test_of_a_dataset_all_splits_but_test_are_read_and_cleaned(tmp_path):
    assert read([make_dataset(tmp_path / "data")]) == ["train1", "valid1", "unlabeled1"]


def test_both_texts_of_a_pair_are_documents(tmp_path):
    texts = read([make_dataset(tmp_path / "data", "text_pair")])
    assert texts == ["train1", "train b", "valid1", "valid b", "unlabeled1", "unlabeled b"]


def test_a_text_file_has_a_document_a_line_and_a_table_a_column(tmp_path):
    (tmp_path / "a.txt").write_text("第一 行\t甲\n第二行", encoding="gb18030")
    (tmp_path / "b.csv").write_text("body,label\n乙,1\n,2\n", encoding="gb18030")
    assert read([tmp_path / "a.txt", tmp_path / "b.csv"], "body", encoding="gb18030") == ["第一 行 甲", "第二行", "乙"]


def test_sources_of_different_cleaning_are_refused(tmp_path):
    one, other = make_dataset(tmp_path / "a"), make_dataset(tmp_path / "b", cleaning=())
    with pytest.raises(DataError, match="clean or segment their texts in different ways"):
        open_texts([one, other], ReadOptions(), "text")


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="is a folder, but no Dataset"):
        open_texts([tmp_path], ReadOptions(), "text")


def test_a_source_that_is_not_there_is_named_before_anything_is_read(tmp_path):
    (tmp_path / "texts.txt").write_text("a", encoding="utf-8")
    with pytest.raises(DataError, match=r"There is no file .*text\.txt\. Did you mean 'texts\.txt'\?"):
        open_texts([tmp_path / "texts.txt", tmp_path / "text.txt"], ReadOptions(), "text")
