"""Spreadsheets: the same rows as of a CSV file, which sheet is read, and what is said without the extra."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from yanmo.artifacts import Dataset
from yanmo.cli import main
from yanmo.data.read import LINE, ReadOptions, read_table
from yanmo.errors import DataError, MissingExtraError

SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
ROWS: list[list[Any]] = [
    ["text", "label", "n", None, None],
    ["好吃, very ", 1, 1.5, None, "note"],
    [None, None, None, None, None],
    ["=x", 0, True, None, None],
    [None, "01", 100000000000, None, None],
]


@pytest.fixture
def _reader() -> None:
    pytest.importorskip("fastexcel")


def cell(place: str, value: Any) -> str:
    if isinstance(value, str):
        text = f'<t xml:space="preserve">{escape(value)}</t>'
        return f'<c r="{place}" t="inlineStr"><is>{text}</is></c>'
    kind = ' t="b"' if isinstance(value, bool) else ""
    return f'<c r="{place}"{kind}><v>{int(value) if isinstance(value, bool) else value}</v></c>'


def sheet(rows: list[list[Any]]) -> str:
    lines = [
        "".join(cell(f"{chr(65 + column)}{number}", value) for column, value in enumerate(row) if value is not None)
        for number, row in enumerate(rows, 1)
    ]
    data = "".join(f'<row r="{number}">{line}</row>' for number, line in enumerate(lines, 1))
    return f'<worksheet xmlns="{SPREADSHEET}"><sheetData>{data}</sheetData></worksheet>'


def write(path: Path, **sheets: list[list[Any]]) -> Path:
    """Write the least that is an Excel file."""
    named = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(sheets, 1))
    related = "".join(
        f'<Relationship Id="r{i}" Type="{RELATIONS}/worksheet" Target="sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    book = f"{PACKAGE}/relationships"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{book}"><Relationship Id="r1" Type="{RELATIONS}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{SPREADSHEET}" xmlns:r="{RELATIONS}"><sheets>{named}</sheets></workbook>',
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{book}">{related}</Relationships>')
        for number, rows in enumerate(sheets.values(), 1):
            archive.writestr(f"xl/sheet{number}.xml", sheet(rows))
    return path


@pytest.mark.usefixtures("_reader")
def test_a_sheet_gives_the_rows_of_a_csv_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", Data=ROWS, Empty=[])
    table = read_table([path], ReadOptions(), ["text", "label", "n"])
    assert table.select("text", "label", "n").rows() == [
        ("好吃, very ", "1", "1.5"),
        ("=x", "0", "true"),
        ("", "01", "100000000000"),
    ]
    assert table[LINE].to_list() == [2, 4, 5]
    by_place = read_table([path], ReadOptions(header=False), ["1", "2"])
    assert by_place["1"].to_list()[:2] == ["text", "好吃, very "]


@pytest.mark.usefixtures("_reader")
def test_one_of_several_sheets_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlsx", First=ROWS, Second=[["text"], ["x"]])
    with pytest.raises(DataError) as caught:
        read_table([path], ReadOptions(), ["text"])
    assert str(caught.value) == f"{path} has several sheets: 'First', 'Second'.\nhint: Name one: --sheet NAME."
    assert read_table([path], ReadOptions(sheet="Second"), ["text"])["text"].to_list() == ["x"]
    with pytest.raises(DataError) as caught:
        read_table([path], ReadOptions(sheet="Secnd"), ["text"])
    assert str(caught.value) == f"{path} has no sheet 'Secnd'. Did you mean 'Second'?\nhint: It has: 'First', 'Second'."


@pytest.mark.usefixtures("_reader")
def test_what_cannot_be_read_of_a_sheet_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.xlsx"
    damaged.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"damaged\.xlsx is no readable spreadsheet: calamine error: "):
        read_table([damaged], ReadOptions())
    with pytest.raises(DataError, match=r"empty\.xlsx has no rows\."):
        read_table([write(tmp_path / "empty.xlsx", Data=[])], ReadOptions())
    with pytest.raises(DataError, match=r"header\.xlsx has no rows\."):
        read_table([write(tmp_path / "header.xlsx", Data=ROWS[:1])], ReadOptions(), ["text"])
    with pytest.raises(DataError, match=r"a\.xlsx has no column 'txt'\. Did you mean 'text'\?"):
        read_table([write(tmp_path / "a.xlsx", Data=ROWS)], ReadOptions(), ["txt"])


@pytest.mark.usefixtures("_reader")
def test_prepare_reads_a_sheet_and_names_its_rows(tmp_path: Path) -> None:
    rows = [["text", "label"], *[[f"word {row}", row % 2] for row in range(20)], [None, 1]]
    path = write(tmp_path / "a.xlsx", Data=rows)
    assert main(["prepare", str(path), "--out", str(tmp_path / "data")]) == 0
    dataset = Dataset.open(tmp_path / "data")
    assert dataset.labels == ["0", "1"]
    assert dataset.manifest.info["rejected"] == {"empty text": 1}
    assert '"line":22' in (dataset.path / "rejected.jsonl").read_text()


def test_without_the_extra_the_way_around_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    path = write(tmp_path / "a.xlsx", Data=ROWS)
    with pytest.raises(MissingExtraError) as caught:
        read_table([path], ReadOptions())
    assert caught.value.message == (
        f"{path} is a spreadsheet. Save its sheet as CSV UTF-8 in the program that opens it, and give that file. "
        "Reading it as it is needs the package 'fastexcel', which is not installed."
    )
    assert caught.value.hint == "pip install 'yanmo[excel]'"
