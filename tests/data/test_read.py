"""Raw files: what is read, and the exact error for what cannot be."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.data import containers, delimited
from yanmo.data.delimited import Dialect, read_delimited, regular_lines
from yanmo.data.read import FILE, LINE, ReadOptions, read_table
from yanmo.errors import ConfigError, DataError, YanmoError

PLAIN = ReadOptions()
NO_HEADER = ReadOptions(header=False)
CSV = Dialect(",", '"')


@pytest.fixture(scope="module", params=["whole", "blocks"], autouse=True)
def blocks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything holds for files that are read at once and for those that come in blocks of a few bytes."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "blocks":
            patch.setattr(containers, "BLOCK_BYTES", 3)
            patch.setattr(delimited, "BLOCK_CHARACTERS", 5)
            patch.setattr(delimited, "LONGEST_ROW", 20)
        yield


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def fails(paths: list[Path], message: str, hint: str, *, options: ReadOptions = PLAIN, **kwargs: object) -> YanmoError:
    with pytest.raises(DataError) as caught:
        read_table(paths, options, **kwargs)  # type: ignore[arg-type]
    assert caught.value.message == message
    assert caught.value.hint == hint
    assert caught.value.exit_code == 2
    return caught.value


def test_csv_keeps_every_value_as_its_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label,n\n"很快,""好吃""\n真的",01,1.50\n x ,true,\n')
    table = read_table([path], PLAIN)
    assert table.to_dict(as_series=False) == {
        "text": ['很快,"好吃"\n真的', " x "],
        "label": ["01", "true"],
        "n": ["1.50", ""],
        FILE: [str(path), str(path)],
        LINE: [2, 4],
    }
    assert set(table.schema.values()) == {pl.String, pl.Int64}


def test_all_four_formats_give_the_same_rows(tmp_path: Path) -> None:
    rows = {"text": ["好吃", "bad, very"], "label": ["1", "0"]}
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    write(tmp_path, "a.csv", 'text,label\n好吃,1\n"bad, very",0\n')
    write(tmp_path, "a.tsv", "text\tlabel\n好吃\t1\nbad, very\t0\n")
    write(tmp_path, "a.jsonl", '{"text": "好吃", "label": 1}\n\n{"label": 0, "text": "bad, very", "x": [1]}\n')
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet"):
        table = read_table([tmp_path / name], PLAIN, ["text", "label"])
        assert table.select("text", "label").to_dict(as_series=False) == rows, name
    assert read_table([tmp_path / "a.jsonl"], PLAIN)[LINE].to_list() == [1, 3]


def test_several_files_are_one_table_in_order_even_with_columns_in_another_order(tmp_path: Path) -> None:
    first = write(tmp_path, "a.csv", "text,label\na,1\n")
    second = write(tmp_path, "b.tsv", "label\ttext\n2\tb\n")
    table = read_table([first, second], PLAIN)
    assert table.rows() == [("a", "1", str(first), 2), ("b", "2", str(second), 2)]


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    first = write(tmp_path, "a.csv", "text,label\na,1\n")
    second = write(tmp_path, "b.csv", "text,class\nb,2\n")
    fails(
        [first, second],
        f"{second} has the columns 'text', 'class', but {first} has 'text', 'label'.",
        "Files that are read together need the same columns.",
    )


def test_without_a_header_columns_are_numbers_and_quotes_in_tsv_are_plain(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", '"中国"人的\t1\nsay "hi\t0\n')
    table = read_table([path], NO_HEADER)
    assert table.select("1", "2").rows() == [('"中国"人的', "1"), ('say "hi', "0")]
    assert table[LINE].to_list() == [1, 2]


def test_quoting_can_be_turned_on_for_tsv_and_off_for_csv(tmp_path: Path) -> None:
    tsv = write(tmp_path, "a.tsv", 'text\tlabel\n"a\tb"\t1\n')
    assert read_table([tsv], ReadOptions(quote="double"))["text"].to_list() == ["a\tb"]
    comma = write(tmp_path, "a.csv", 'text;label\n"a;1\n')
    assert read_table([comma], ReadOptions(quote="none", delimiter="semicolon"))["text"].to_list() == ['"a']
    single = write(tmp_path, "b.csv", "text,label\n'a,b',1\n")
    assert read_table([single], ReadOptions(quote="single"))["text"].to_list() == ["a,b"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_gives_the_same_rows_and_lines(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path, "a.csv", ending.join(["text,label", '"a,"",b",1', "c,2"]))
    table = read_table([path], PLAIN)
    assert table.rows() == [('a,",b', "1", str(path), 2), ("c", "2", str(path), 3)]


def test_blank_lines_are_left_out_and_line_numbers_stay_true(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n\na,1\n\n\nb,2\n\n")
    assert read_table([path], PLAIN)[LINE].to_list() == [3, 6]


def test_a_quote_in_the_middle_of_a_field_is_text(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\na 5" disk,1\nb,2\n')
    assert read_table([path], PLAIN)["text"].to_list() == ['a 5" disk', "b"]
    path = write(tmp_path, "b.csv", 'x"y,z",w\n1,2\n')
    with pytest.raises(DataError, match="line 2 has 2 fields, but the first row has 3"):
        read_table([path], PLAIN)


def test_only_chosen_columns_are_returned(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,text,label\n7,a,1\n")
    assert read_table([path], PLAIN, ["label", "text", "label"]).columns == ["label", "text", FILE, LINE]


def test_numbers_lists_and_nulls_of_jsonl_become_their_text(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "a.jsonl",
        '{"a": 1.50}\n{"a": ["x", "y"]}\n{"a": null}\n{"a": true}\n{"a": 12345678901234567890123}\n',
    )
    assert read_table([path], PLAIN)["a"].to_list() == ["1.50", '["x","y"]', None, "true", "12345678901234567890123"]


def test_lists_and_numbers_of_parquet_become_their_text(tmp_path: Path) -> None:
    frame = pl.DataFrame({"l": [["x", "y"], None], "n": [1, 2], "c": pl.Series(["a", None], dtype=pl.Categorical)})
    frame.write_parquet(tmp_path / "a.parquet")
    table = read_table([tmp_path / "a.parquet"], PLAIN)
    assert table.drop(FILE).rows() == [('["x","y"]', "1", "a", 1), (None, "2", None, 2)]


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312", "big5", "utf-16", "utf-16-le", "utf-16-be"]
)
def test_every_encoding_gives_the_same_text(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, "a.csv", "text,label\n好吃,1\n".encode(encoding))
    table = read_table([path], ReadOptions(encoding=encoding))  # type: ignore[arg-type]
    assert table.select("text", "label").rows() == [("好吃", "1")]


def test_cp1252_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\ncafé,1\n".encode("cp1252"))
    assert read_table([path], ReadOptions(encoding="cp1252"))["text"].to_list() == ["café"]


def test_a_byte_order_mark_under_utf8_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, "a.csv", "\ufefftext,label\na,1\n")
    with caplog.at_level(logging.INFO):
        assert read_table([path], PLAIN).columns[:2] == ["text", "label"]
    assert f"{path} begins with a byte order mark; it was left out." in caplog.text


def test_a_wrong_byte_is_named_with_offset_line_and_encodings_that_fit(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"text,label\nok,1\n" + "好吃,1\n".encode("gb18030"))
    fails(
        [path],
        f"{path} is not utf-8: byte 0xBA at offset 16, line 3 (invalid start byte).",
        "The whole file decodes as gb18030, big5. If that is what it is: --encoding gb18030.",
    )


def test_utf16_is_suggested_by_its_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n好,1\n".encode("utf-16"))
    fails(
        [path],
        f"{path} is not utf-8: byte 0xFF at offset 0, line 1 (invalid start byte).",
        "The whole file decodes as utf-16. If that is what it is: --encoding utf-16.",
    )


def test_one_damaged_byte_in_utf8_is_called_damaged(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n好吃,1\n".encode() + b"\xff\x81,2\n")
    fails(
        [path],
        f"{path} is not utf-8: byte 0xFF at offset 20, line 3 (invalid start byte).",
        "The file decodes under no supported encoding, so that byte is damaged: repair or remove it.",
    )


def test_the_euro_sign_of_windows_is_named_where_it_stands(tmp_path: Path) -> None:
    content = ("text,label\n" + "好丂吃,1\n" * 20).encode("gb18030") + b"\x80 5,2\n"
    place = content.index(b"\x80 5")
    fails(
        [write(tmp_path, "a.csv", content)],
        f"{tmp_path / 'a.csv'} is not utf-8: byte 0xBA at offset 11, line 2 (invalid start byte).",
        "The file decodes under no supported encoding, but as gb18030 with 1 damaged places, the first at byte 0x80 "
        f"at offset {place}, line 22 (illegal multibyte sequence). If that is what it is, repair or "
        "remove them, and give --encoding gb18030.",
    )


def test_french_with_a_damaged_byte_is_not_taken_for_chinese(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.csv", ("text,label\n" + "très bien mangé, né ici,1\n" * 20).encode("cp1252") + b"\x81,2\n"
    )
    with pytest.raises(DataError) as caught:
        read_table([path], PLAIN)
    assert caught.value.hint.startswith("The file decodes under no supported encoding, so that byte is damaged")


def test_a_character_that_is_cut_in_utf8_is_called_damaged_though_another_encoding_gets_further(tmp_path: Path) -> None:
    rows = "".join(f"服务很好{number},1\n" for number in range(100)).encode()
    path = write(tmp_path, "a.csv", b"text,label\n" + "好吃".encode()[:-1] + b",1\n" + rows)
    fails(
        [path],
        f"{path} is not utf-8: byte 0xE5 at offset 14, line 2 (invalid continuation byte).",
        "The file decodes under no supported encoding, so that byte is damaged: repair or remove it.",
    )


def test_a_file_cut_off_within_a_character_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n好,1\n好".encode()[:-1])
    with pytest.raises(DataError, match=re.escape("byte 0xE5 at offset 17, line 3 (unexpected end of data)")):
        read_table([path], PLAIN)


def test_utf16_without_a_mark_is_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\na,1\n".encode("utf-16-le"))
    fails(
        [path],
        f"{path} has no byte order mark, so utf-16 does not say which byte comes first.",
        "Give --encoding utf-16-le (usual on Windows) or --encoding utf-16-be.",
        options=ReadOptions(encoding="utf-16"),
    )


# --- files that are none ---------------------------------------------------------------------------------------------


def test_a_missing_file_gets_a_suggestion_and_the_list(tmp_path: Path) -> None:
    write(tmp_path, "reviews.csv", "x")
    write(tmp_path, "other.txt", "x")
    fails(
        [tmp_path / "review.csv"],
        f"There is no file {tmp_path}/review.csv. Did you mean 'reviews.csv'?",
        f"Files in {tmp_path}: other.txt, reviews.csv",
    )


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    fails(
        [tmp_path / "no" / "a.csv"],
        f"There is no file {tmp_path}/no/a.csv: the folder {tmp_path}/no does not exist.",
        "Check the path.",
    )


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "x")
    fails([tmp_path], f"{tmp_path} is a folder, not a file.", f"Name one of its files: {tmp_path}/a.csv")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "")
    fails([path], f"{path} is empty.", "Give a file that has rows.")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_file_of_blank_lines_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, "\n\n\n")
    fails([path], f"{path} has no rows, only blank lines.", "Give a file that has rows.")


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label\n")
    fails(
        [path],
        f"{path} has a header line but no rows.",
        "Give a file that has rows; if its only line is a row: --no-header.",
    )


def test_an_unknown_extension_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", "{}")
    fails(
        [path],
        f"{path} has the unknown extension '.json'. Did you mean '.jsonl'?",
        "Files that can be read: .csv, .tsv, .txt, .jsonl, .ndjson, .parquet; "
        "all but Parquet also with .gz or .zst behind it.",
    )


def test_no_file_at_all_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"^No file is given\."):
        read_table([], PLAIN)


@pytest.mark.parametrize("delimiter", ["", ",,", "\n", '"', "，"])
def test_a_delimiter_is_one_ascii_character(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path, "a.csv", "text,label\na,1\n")
    with pytest.raises(ConfigError) as caught:
        read_table([path], ReadOptions(delimiter=delimiter))
    assert caught.value.message.startswith("The 'delimiter' parameter must be one ASCII character")
    assert caught.value.message.endswith(f"Got {delimiter!r} instead.")


# --- columns and rows ------------------------------------------------------------------------------------------------


def test_a_missing_column_gets_a_suggestion_and_the_list(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "review,label\na,1\n")
    fails(
        [path],
        f"{path} has no column 'reviews'. Did you mean 'review'?",
        "It has: 'review', 'label'. If the first line is no header: --no-header, and columns by position.",
        columns=["reviews", "label"],
    )


def test_a_missing_position_without_header_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "a\t1\n")
    fails([path], f"{path} has no column '3'.", "It has: '1', '2'.", options=NO_HEADER, columns=["1", "3"])


def test_double_column_names_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,label,text\na,1,b\n")
    fails(
        [path],
        f"{path} has the column name 'text' more than once: columns 1, 3.",
        "Rename one of them, or use --no-header and columns by position.",
    )


@pytest.mark.parametrize(
    ("row", "fields", "shown"),
    [("short", "1 field", "short"), ("long,1,x,y", "4 fields", "long,1,x,y"), ("a,1,", "3 fields", "a,1,")],
)
def test_a_ragged_row_is_named_by_its_physical_line(tmp_path: Path, row: str, fields: str, shown: str) -> None:
    path = write(tmp_path, "a.csv", f'text,label\n"two\nlines",1\n\n{row}\nb,2\n')
    fails(
        [path],
        f"{path} line 5 has {fields}, but the first row has 2. Got {shown!r}.",
        "Put a field that holds ',' between quotes, or name the right --delimiter.",
    )


def test_a_ragged_tsv_row_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "text\tlabel\na\t1\nb\n")
    fails(
        [path],
        f"{path} line 3 has 1 field, but the first row has 2. Got 'b'.",
        "Repair that line, or name the right --delimiter.",
    )


@pytest.mark.parametrize("tail", ["", "\n", "\nmore,2\n", "\r\nmore,2"])
def test_an_open_quote_is_named_by_the_line_on_which_it_opens(tmp_path: Path, tail: str) -> None:
    path = write(tmp_path, "a.csv", f'text,label\n"fine\nhere",1\n"two\nlines","open{tail}')
    fails(
        [path],
        f"{path} line 5: a quote opens a field here and is never closed.",
        "Double a quote that belongs to the text, or turn quoting off with --quote none.",
    )


def test_text_after_a_closing_quote_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n"open,1\nb,2\nhe said "c",3\n')
    fails(
        [path],
        f"{path} line 4, in the row that begins on line 2: text follows the quote that closes a field.",
        "Double a quote that belongs to the text, or turn quoting off with --quote none.",
    )


def test_an_invalid_json_line_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a"}\n\n{"text": "b"\n{"text": "c"}\n')
    fails(
        [path],
        f'{path} line 3 is not valid JSON: Input data was truncated. Got \'{{"text": "b"\'.',
        "A .jsonl file holds one JSON object on every line.",
    )


@pytest.mark.parametrize("line", ['["a", "b"]', '"a"', "3", "null"])
def test_a_json_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, "a.jsonl", f'{{"text": "a"}}\n{line}\n')
    fails(
        [path],
        f"{path} line 2 is not a JSON object. Got {line!r}.",
        'A .jsonl file holds one JSON object on every line, such as {"text": "…", "label": "…"}.',
    )


def test_a_key_that_is_absent_from_a_json_line_is_null_and_from_all_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a", "label": 1}\n{"text": "a"}\n')
    assert read_table([path], PLAIN, ["text", "label"])["label"].to_list() == ["1", None]
    path = write(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "a", "lable": 1}\n')
    fails(
        [path],
        f"{path} has no column 'label'. Did you mean 'lable'?",
        "It has: 'text', 'lable'.",
        columns=["text", "label"],
    )


@pytest.mark.parametrize("content", [b"PAR1", b"not parquet at all", b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_a_damaged_parquet_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, "a.parquet", content)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))} is not a readable Parquet file: .+") as caught:
        read_table([path], PLAIN)
    assert caught.value.hint == "Write or copy it again."


def test_a_parquet_column_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": [{"a": 1}]}).write_parquet(path)
    with pytest.raises(DataError, match=r"^The column 'text' of .* is of type Struct.*, which is no text\."):
        read_table([path], PLAIN)


def test_a_parquet_file_lacks_a_column_or_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": pl.Series([], dtype=pl.String)}).write_parquet(path)
    fails([path], f"{path} has no column 'txt'. Did you mean 'text'?", "It has: 'text'.", columns=["txt"])
    fails([path], f"{path} has no rows.", "Give a file that has rows.")


# --- the fast and the careful reader agree ---------------------------------------------------------------------------

SIZES = st.sampled_from([1, 2, 5, 1000])


def read_in_pieces(text: str, size: int) -> tuple[list[list[str]], list[int]]:
    """Return columns and lines of a text that comes in pieces of some characters."""
    pieces = [text[start : start + size].encode() for start in range(0, len(text), size)]
    blocks = list(read_delimited(Path("a.csv"), pieces, CSV))
    columns = [[value for block, _ in blocks for value in block[place]] for place in range(len(blocks[0][0]))]
    return columns, [line for _, lines_N in blocks for line in lines_N.tolist()]


PIECES = st.sampled_from(["a", "好", '"', '""', ",", "\n", "\r\n", "\r", " ", "\t", "x,y", "\u2028", "\0"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=14).map("".join), SIZES)
def test_any_text_reads_as_pythons_csv_module_reads_it_or_fails_with_a_line(text: str, size: int) -> None:
    try:
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        is_ragged = len({len(row) for row in expected}) != 1
    except csv.Error:
        is_ragged = True
    if is_ragged:
        with pytest.raises(DataError, match=r"^a\.csv (line \d+|has no rows)"):
            read_in_pieces(text, size)
        return
    columns, lines = read_in_pieces(text, size)
    assert [list(row) for row in zip(*columns, strict=True)] == expected
    assert len(lines) == len(expected)


FIELD = st.text(st.sampled_from('a好",\n \r'), max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=6), SIZES)
def test_whatever_python_writes_comes_back_with_the_lines_where_rows_begin(
    rows: list[tuple[str, str]], size: int
) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    begins = []
    for row in rows:
        begins.append(1 + len(re.findall(r"\r\n|\r|\n", buffer.getvalue())))
        writer.writerow(row)
    columns, lines = read_in_pieces(buffer.getvalue(), size)
    assert list(zip(*columns, strict=True)) == rows
    assert lines == begins


def test_a_regular_file_takes_the_fast_reader() -> None:
    assert regular_lines(b'text,label\n"a\nb, ""c""",1\nd,2', CSV) is not None
    assert regular_lines(b"text,label\na\n", CSV) is None


def test_a_sheet_that_is_named_for_another_kind_of_file_is_said(tmp_path, caplog):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\na,b\n", encoding="utf-8")
    assert read_table([path], ReadOptions(sheet="one")).height == 1
    assert f"The 'sheet' parameter has no effect on {path}, which is no spreadsheet." in caplog.messages
    caplog.clear()
    assert read_table([path], ReadOptions()).height == 1
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
