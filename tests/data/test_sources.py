"""Sources: rows are numbered over all blocks, mistakes found before the first block, lines given as they come."""

from __future__ import annotations

import hashlib
import sys
from types import SimpleNamespace

import pytest

from yanmo.data import containers
from yanmo.data.read import ReadOptions, read_table
from yanmo.data.sources import open_files, open_rows, open_stdin
from yanmo.errors import DataError

COLUMNS = {"text": "text"}
WITH_IDS = {"text": "text", "id": "n"}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(containers, "BLOCK_BYTES", 16)


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return path

    return write


class Pieces:
    """A raw stream that gives one piece at a time, as a terminal does, and tells how many were asked for."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)
        self.num_read = 0

    def read(self, _):
        self.num_read += 1
        return self.pieces.pop(0) if self.pieces else b""


@pytest.fixture
def stdin(monkeypatch):
    def give(*pieces):
        stream = Pieces(*pieces)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        return stream

    return give


def test_a_key_counts_as_absent_only_if_no_row_of_the_whole_file_has_it(write):
    late = write("a.jsonl", '{"other": "a long value"}\n' * 4 + '{"text": "x"}\n')
    table = read_table([late], ReadOptions(), ["text"])
    assert table["text"].to_list() == [None] * 4 + ["x"]
    with pytest.raises(DataError) as caught:
        read_table([late], ReadOptions(), ["texts"])
    assert caught.value.message == f"{late} has no column 'texts'. Did you mean 'text'?"
    assert caught.value.hint == "It has: 'other', 'text'."


def test_a_key_that_no_row_has_is_said_before_its_missing_values(write):
    path = write("a.jsonl", '{"text": "a long value"}\n' * 4)
    with pytest.raises(DataError, match=r"a\.jsonl has no column 'texts'\. Did you mean 'text'\?"):
        open_files([path], ReadOptions(), {"text": "texts"})
    path = write("b.jsonl", '{"text": "a long value"}\n' * 4 + '{"other": "x"}\n')
    with pytest.raises(DataError, match=r"b\.jsonl line 5 has no value in the column 'text'\."):
        open_files([path], ReadOptions(), COLUMNS)


def test_rows_are_numbered_over_all_blocks_and_files_and_come_again_in_every_reading(write):
    csv = write("a.csv", "text\n" + "".join(f"text {number}\n" for number in range(20)))
    jsonl = write("b.jsonl", '{"text": "x"}\n\n{"text": ""}\n')
    source = open_files([csv, jsonl], ReadOptions(), COLUMNS)
    assert source.num_rows == 22
    assert list(source.parents) == ["source:a.csv", "source:b.jsonl"]
    for _ in range(2):
        blocks = list(source.blocks())
        assert len(blocks) > 5
        assert [one for block in blocks for one in block["id"]] == [str(number) for number in range(1, 23)]
        assert [one for block in blocks for one in block["text"]] == [*(f"text {i}" for i in range(20)), "x", ""]


def test_an_id_that_stands_twice_far_apart_is_named_before_anything_is_answered(write):
    rows = "".join(f"text,{number}\n" for number in range(50))
    source = open_files([write("a.csv", f"text,n\n{rows}")], ReadOptions(), WITH_IDS)
    assert [one for block in source.blocks() for one in block["id"]] == [str(number) for number in range(50)]
    first, second = write("b.csv", f"text,n\n{rows}text,7\n"), write("c.csv", "text,n\nx,3\n")
    with pytest.raises(DataError) as caught:
        open_files([first, second], ReadOptions(), WITH_IDS)
    assert caught.value.message == f"The id '3' stands more than once: {first} line 5 and {second} line 2."


def test_a_missing_value_in_a_late_block_is_named(write):
    path = write("a.jsonl", '{"text": "a", "n": 1}\n' * 20 + '{"text": "a", "n": null}\n')
    with pytest.raises(DataError) as caught:
        open_files([path], ReadOptions(), WITH_IDS)
    assert caught.value.message == f"{path} line 21 has no value in the column 'n'."


def test_a_line_of_standard_input_is_there_before_the_next_is_asked_for(stdin):
    stream = stdin("好吃\n".encode(), b"ba", "d\n很".encode()[:-1], "很".encode()[-1:] + b"\r\nend")
    source = open_stdin("utf-8", ("text",))
    blocks = source.blocks()
    assert next(blocks).rows() == [("好吃", "1")]
    assert stream.num_read == 1
    assert [row for block in blocks for row in block.rows()] == [("bad", "2"), ("很", "3"), ("end", "4")]
    assert source.parents == {"source:-": hashlib.sha256("好吃\nbad\n很\r\nend".encode()).hexdigest()}


def test_the_wrong_byte_of_a_later_piece_is_named(stdin):
    stdin(b"a\nb\n", b"c\n\xff\n")
    blocks = open_stdin("utf-8", ("text",)).blocks()
    assert next(blocks)["text"].to_list() == ["a", "b"]
    with pytest.raises(DataError) as caught:
        next(blocks)
    message = "Standard input is not utf-8: byte 0xFF at offset 6, line 4 (invalid start byte)."
    assert caught.value.message == message


def test_pairs_of_standard_input_are_counted_over_pieces(stdin):
    stdin(b"a\tb\n", b"c\td\ne\n")
    blocks = open_stdin("utf-8", ("text", "text_b")).blocks()
    assert next(blocks).select("text", "text_b").rows() == [("a", "b")]
    with pytest.raises(DataError, match=r"^Line 3 of standard input is no pair\."):
        next(blocks)


def lines_of(path, inputs=("text",), **columns):
    named = {name: name for name in inputs} | columns
    blocks = open_rows([path], ReadOptions(), named, inputs=inputs, split="test").blocks()
    return [row for block in blocks for row in block.select(list(inputs)).rows()]


def test_a_file_of_plain_lines_is_read_as_standard_input_is(write, stdin, caplog):
    caplog.set_level("INFO")
    content = 'first, "text"\nsecond\ttext\r\nthird'
    stdin(content.encode())
    typed = [row for block in open_stdin("utf-8", ["text"]).blocks() for row in block.select("text").rows()]
    assert lines_of(write("t.txt", content)) == typed == [('first, "text"',), ("second\ttext",), ("third",)]
    assert "t.txt has no header line with 'text': every line is read as a text." in caplog.text
    assert lines_of(write("p.txt", "a\tb\nc\td\n"), ("text", "text_b")) == [("a", "b"), ("c", "d")]


def test_a_text_file_with_a_header_is_a_table_as_before(write):
    assert lines_of(write("t.txt", "text\tlabel\na b\tx\n")) == [("a b",)]
    assert lines_of(write("o.txt", "text\na b\n")) == [("a b",)]
    # A header with a mistake, a column that is named, and another kind of file.
    for name, content, columns in (
        ("m.txt", "txt\tlabel\na b\tx\n", {}),
        ("n.txt", "a\nb\n", {"text": "body"}),
        ("c.csv", "a\nb\n", {}),
    ):
        with pytest.raises(DataError, match="has no column '(text|body)'"):
            lines_of(write(name, content), **columns)
    with pytest.raises(DataError, match="gone.txt"):
        lines_of(write("t.txt", "x").with_name("gone.txt"))
