"""Files that are compressed, and files that are none to read rows from."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import polars as pl
import pytest

from yanmo.data import containers
from yanmo.data.containers import kind_of
from yanmo.data.read import LINE, ReadOptions, read_table
from yanmo.errors import DataError

ROWS = "text,label\n" + "".join(f"好吃 {row},{row % 2}\n" for row in range(500))
JSON_ROWS = "".join(f'{{"text": "好吃 {row}", "label": {row % 2}}}\n' for row in range(500))


def fails(path: Path, message: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table([path], ReadOptions())
    assert caught.value.message == message
    assert caught.value.hint == hint


@pytest.fixture(params=[1 << 22, 7])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("name", ["a.csv.gz", "a.CSV.GZ", "a.jsonl.gz"])
def test_gzip_is_read_as_what_is_in_it(name: str, tmp_path: Path) -> None:
    content = (JSON_ROWS if "jsonl" in name else ROWS).encode("gb18030")
    # Two members, as tools that write in pieces make them.
    (tmp_path / name).write_bytes(gzip.compress(content[:100]) + gzip.compress(content[100:]))
    table = read_table([tmp_path / name], ReadOptions(encoding="gb18030"), ["text", "label"])
    assert table["text"].to_list() == [f"好吃 {row}" for row in range(500)]
    assert table[LINE][-1] == 500 + ("csv" in name.lower())


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("num_frames", [1, 2])
def test_zstandard_is_read_as_what_is_in_it(num_frames: int, tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    path, content = tmp_path / "a.csv.zst", ROWS.encode()
    cut = len(content) // num_frames
    frames = [content[:cut], content[cut:]][:num_frames]
    path.write_bytes(b"".join(zstandard.ZstdCompressor().compress(frame) for frame in frames))
    assert read_table([path], ReadOptions(), ["text"])["text"].to_list() == [f"好吃 {row}" for row in range(500)]


def test_a_damaged_file_of_zstandard_is_named(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    whole = zstandard.ZstdCompressor().compress(ROWS.encode())
    path = tmp_path / "a.csv.zst"
    path.write_bytes(whole[:-5])
    with pytest.raises(DataError, match=r"a\.csv\.zst is damaged as a file of Zstandard: it was cut off\."):
        read_table([path], ReadOptions())
    path.write_bytes(b"text,label\na,1\n")
    with pytest.raises(DataError, match=r"a\.csv\.zst is damaged as a file of Zstandard: "):
        read_table([path], ReadOptions())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(ROWS.encode())[:-9], "Compressed file ended before the end-of-stream marker was reached"),
        (b"text,label\na,1\n", r"Not a gzipped file \(b'te'\)"),
        (gzip.compress(ROWS.encode())[:200] + b"\0" * 200, "Error -3 while decompressing data: .*"),
    ],
)
def test_a_damaged_file_of_gzip_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.csv\.gz is damaged as a file of gzip: {reason}\.") as caught:
        read_table([path], ReadOptions())
    assert caught.value.hint == "Copy it again, or compress it again."


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("a.xlsx.gz", "is a compressed spreadsheet.", "Unpack it."),
        ("a.zip", "is an archive.", containers.UNPACK),
        ("a.tar.gz", "is an archive.", containers.UNPACK),
        ("a.csv.bz2", "is compressed in a way that is not read.", "Unpack it; .gz and .zst are read."),
        (
            "a.parquet.gz",
            "is a Parquet file that was compressed once more.",
            "Unpack it: Parquet is compressed inside.",
        ),
    ],
)
def test_a_file_of_another_kind_is_named_as_such(name: str, message: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    fails(tmp_path / name, f"{tmp_path / name} {message}", hint)


def test_what_a_file_is_counts_more_than_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    fails(path, f"{path} is an archive or an Excel file, whatever its name says.", containers.SAVE_SHEET)
    path.write_bytes(gzip.compress(ROWS.encode()))
    fails(path, f"{path} is compressed by gzip, whatever its name says.", "Let its name end in .gz.")
    pl.DataFrame({"text": ["a"]}).write_parquet(path)
    fails(path, f"{path} is a Parquet file, whatever its name says.", "Let its name end in .parquet.")


def test_an_empty_file_in_gzip_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b""))
    fails(path, f"{path} is empty.", "Give a file that has rows.")


def test_the_kind_leaves_the_compression_out() -> None:
    assert [kind_of(Path(name)) for name in ("a.CSV", "a.csv.GZ", "a.b.jsonl.zst", "a.gz", "a")] == [
        ".csv",
        ".csv",
        ".jsonl",
        "",
        "",
    ]
