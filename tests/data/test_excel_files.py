"""CSV files as Excel and people make them: what is read, and which key is named for what is not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from yanmo.cli import main
from yanmo.data import containers
from yanmo.data.read import LINE, ReadOptions, read_table
from yanmo.errors import DataError

WANTED = ["text", "label"]


@pytest.fixture(params=["whole", "blocks"], autouse=True)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "blocks":
        monkeypatch.setattr(containers, "BLOCK_BYTES", 3)
    return


def write(folder: Path, content: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8", newline="")
    return path


def fails(path: Path, message: str, hint: str, options: ReadOptions | None = None) -> None:
    with pytest.raises(DataError) as caught:
        read_table([path], options or ReadOptions(), WANTED)
    assert caught.value.message == message
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "content",
    [
        "text,label,,\r\na,1,,\r\nb,0,,\r\n",
        "text,label,note,note\na,1,x,y\nb,0,z,w\n",
        ",text,,label\n,a,,1\n,b,,0\n",
    ],
)
def test_empty_and_doubled_columns_that_nobody_wants_are_no_error(content: str, tmp_path: Path) -> None:
    table = read_table([write(tmp_path, content)], ReadOptions(), WANTED)
    assert table.select(WANTED).rows() == [("a", "1"), ("b", "0")]


def test_a_doubled_column_that_is_wanted_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label,text\na,1,b\n")
    fails(
        path,
        f"{path} has the column name 'text' more than once: columns 1, 3.",
        "Rename one of them, or use --no-header and columns by position.",
    )


@pytest.mark.parametrize("first", ["sep=;\r\n", "SEP=;\n", '"sep=;"\r\n', "sep=;;\r\n", "\ufeffsep=;\r\n"])
def test_the_line_that_names_the_delimiter_is_taken_and_said(
    first: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, f'{first}text;label\r\na, b;1\r\n"c;\r\nd";0\r\ne;1\r\n')
    with caplog.at_level(logging.INFO):
        table = read_table([path], ReadOptions(), WANTED)
    assert table.select(WANTED).rows() == [("a, b", "1"), ("c;\r\nd", "0"), ("e", "1")]
    assert table[LINE].to_list() == [3, 4, 6]
    assert f"{path} begins with Excel's line sep=; its fields are taken to end at ';'." in caplog.messages


def test_lines_are_counted_from_the_file_s_first_one_in_errors_too(tmp_path: Path) -> None:
    path = write(tmp_path, "sep=;\ntext;label\na;1;2\n")
    fails(
        path,
        f"{path} line 3 has 3 fields, but the first row has 2. Got 'a;1;2'.",
        "Put a field that holds ';' between quotes, or name the right --delimiter.",
    )


def test_a_text_that_begins_like_that_line_is_a_header(tmp_path: Path) -> None:
    table = read_table([write(tmp_path, "sep=,text,label\nx,a,1\n")], ReadOptions(), WANTED)
    assert table.select(WANTED).rows() == [("a", "1")]


@pytest.mark.parametrize(
    ("content", "delimiter", "name"),
    [
        ("text;label\na, b;1\n", ";", "semicolon"),
        ("id;text;label\n1;a;1\n", ";", "semicolon"),
        ('"text"\t"label"\na, b, c\t1\n', "\t", "tab"),
        ("text|label\na|1\n", "|", "pipe"),
    ],
)
def test_another_delimiter_is_named_with_its_key(content: str, delimiter: str, name: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_table([path], ReadOptions(), WANTED)
    assert caught.value.message.startswith(f"{path} has no column 'text'.")
    assert caught.value.hint is not None
    assert caught.value.hint.endswith(f" Its names have {delimiter!r} between them: --delimiter {name}.")
    assert read_table([path], ReadOptions(delimiter=name), WANTED)["label"].to_list() == ["1"]


def test_spaces_behind_commas_are_named_with_their_key_and_left_out_with_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'text, label , n\n"a, b", 1, x\n c, 0, "y, z"\n')
    fails(
        path,
        f"{path} has no column 'label'. Did you mean ' label '?",
        "It has: 'text', ' label ', ' n'. There are spaces around its names: --skip-spaces.",
    )
    table = read_table([path], ReadOptions(skip_spaces=True), [*WANTED, "n"])
    assert table.select("text", "label", "n").rows() == [("a, b", "1", "x"), ("c", "0", "y, z")]
    assert table[LINE].to_list() == [2, 3]


def test_a_quote_behind_a_space_is_named_with_its_key(tmp_path: Path) -> None:
    path = write(tmp_path, 'label,text\n1, "a, b"\n')
    fails(
        path,
        f"{path} line 2 has 3 fields, but the first row has 2. Got '1, \"a, b\"'.",
        "If the quote behind a space is to open a field: --skip-spaces, or name the right --delimiter.",
    )
    assert read_table([path], ReadOptions(skip_spaces=True), WANTED)["text"].to_list() == ["a, b"]


def test_a_check_of_a_pipeline_knows_the_line_and_the_spaces(tmp_path: Path) -> None:
    write(tmp_path, "sep=;\ntext; label\na; 1\nb; 0\n")
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text('[stage.data]\nverb = "prepare"\nsource = "a.csv"\nskip_spaces = true\n')
    assert main(["check", str(pipeline)]) == 0


def test_spaces_around_all_names_of_a_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(" text, label\nx, y\n")
    with pytest.raises(DataError, match="There are spaces around its names: --skip-spaces"):
        read_table([path], ReadOptions(), ["text", "label"])
