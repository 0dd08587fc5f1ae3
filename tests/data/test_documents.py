"""Texts become rows: lines, paragraphs, whole files, tables; a prompt is told by its length."""

import polars as pl
import pytest

import yanmo
from yanmo.errors import ConfigError, DataError

TEXT = "one\ntwo\n\n\nthree\r\nfour 你好\n \n five\n"


def rows_of(path, tmp_path, **keys):
    """What prepare makes of a file that is given for train."""
    (tmp_path / "other.txt").write_text("valid and test\n", encoding="utf-8")
    keys = {"valid": tmp_path / "other.txt", "test": tmp_path / "other.txt", **keys}
    dataset = yanmo.prepare(path, out=tmp_path / "data", task="causal_lm", **keys)
    return dataset.split("train")


@pytest.mark.parametrize(
    ("documents", "texts"),
    [
        (None, ["one", "two", "three", "four 你好", " five"]),
        ("lines", ["one", "two", "three", "four 你好", " five"]),
        ("paragraphs", ["one\ntwo", "three\nfour 你好", " five"]),
        ("files", ["one\ntwo\n\n\nthree\nfour 你好\n \n five\n"]),
    ],
)
def test_a_plain_file_is_cut_into_documents(documents, texts, tmp_path):
    (tmp_path / "text.txt").write_bytes(TEXT.encode())
    rows = rows_of(tmp_path / "text.txt", tmp_path, documents=documents)
    assert rows["text"].to_list() == texts
    assert rows["label"].to_list() == [0] * len(texts)
    assert rows["id"].to_list() == [str(number) for number in range(1, len(texts) + 1)]


def test_a_whole_file_ends_as_it_ends(tmp_path):
    (tmp_path / "text.txt").write_bytes(b"one\r\n\ntwo")
    assert rows_of(tmp_path / "text.txt", tmp_path, documents="files")["text"].to_list() == ["one\n\ntwo"]


def test_texts_are_not_cleaned(tmp_path):
    (tmp_path / "text.txt").write_text("Ａ  b\t c  \n", encoding="utf-8")
    assert rows_of(tmp_path / "text.txt", tmp_path)["text"].to_list() == ["Ａ  b\t c  "]
    assert yanmo.Dataset.open(tmp_path / "data").text_config.cleaning == ()


def test_a_prompt_is_read_and_its_completion_is_learned(tmp_path):
    pl.DataFrame({"q": ["1+1=", None, "你"], "a": ["2", "three", "好"], "n": ["x", "y", "z"]}).write_ndjson(
        tmp_path / "pairs.jsonl"
    )
    rows = rows_of(tmp_path / "pairs.jsonl", tmp_path, prompt="q", completion="a", id="n", valid=None, test=None)
    whole = pl.concat([rows, *(yanmo.Dataset.open(tmp_path / "data").split(one) for one in ("valid", "test"))]).sort(
        "id"
    )
    assert whole.rows() == [("x", "1+1=2", 4), ("y", "three", 0), ("z", "你好", 1)]


def test_a_table_of_texts_has_a_column(tmp_path):
    (tmp_path / "texts.csv").write_text('body,other\n"a\nb",1\n')
    assert rows_of(
        tmp_path / "texts.csv", tmp_path, text="body", valid=tmp_path / "texts.csv", test=None, test_ratio=0
    )["text"].to_list() == ["a\nb"]


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"prompt": "q"}, ConfigError, "'prompt' parameter of prepare needs the 'completion'"),
        ({"completion": "q"}, ConfigError, "'completion' parameter of prepare needs the 'prompt'"),
        ({"cleaning": ("lowercase",)}, ConfigError, "does not use the 'cleaning' parameter"),
        ({"label": "topic"}, ConfigError, "does not use the 'label' parameter"),
        ({"text": "body"}, ConfigError, "'text' parameter of prepare names a column"),
        ({"id": "number"}, ConfigError, "'id' parameter of prepare names a column"),
        ({"prompt": "q", "completion": "a"}, ConfigError, "'prompt' parameter of prepare names a column"),
        ({"task": "single_label", "documents": "lines"}, ConfigError, "does not use the 'documents' parameter"),
        ({"valid_ratio": 0.0, "test_ratio": 0.0, "max_rejected": 0.0, "test": "nul.txt"}, DataError, "NUL character"),
    ],
)
def test_a_mistake_has_its_message(keys, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "nul.txt").write_text("a\0b\n", encoding="utf-8")
    with pytest.raises(error) as caught:
        yanmo.prepare(tmp_path / "text.txt", out=tmp_path / "data", **{"task": "causal_lm", **keys})
    assert message in caught.value.message
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("documents", ["lines", "paragraphs"])
def test_a_file_of_blank_lines_is_refused_by_name(tmp_path, documents):
    (tmp_path / "blank.txt").write_text(" \n\n\t\n")
    with pytest.raises(DataError, match="blank.txt has no rows, only blank lines"):
        yanmo.prepare(tmp_path / "blank.txt", out=tmp_path / "data", task="causal_lm", documents=documents)
