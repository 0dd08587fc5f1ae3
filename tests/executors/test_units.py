"""The grid: every row in one unit, the same cut whoever reads, and each unit read alone gives its rows."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.data import containers
from yanmo.data.read import ReadOptions
from yanmo.data.sources import open_files
from yanmo.executors import units as module
from yanmo.executors.units import Grid, UnitReader, cut_windows, regroup

CELLS = st.text(st.sampled_from('a好, "\n\r\t;é'), max_size=12)
ROWS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=40)


def write_csv(path, rows, newline="\n"):
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    path.write_bytes(newline.join(["text,other", *quoted, ""]).encode())


def write_jsonl(path, rows):
    path.write_bytes("".join(json.dumps({"text": text, "other": other}) + "\n" for text, other in rows).encode())


def write_gzip(path, rows):
    write_csv(path.with_suffix(""), rows)
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    path.with_suffix("").unlink()


def write_parquet(path, rows):
    pl.DataFrame(rows, schema={"text": pl.String, "other": pl.String}, orient="row").write_parquet(path)


WRITERS = {
    "a.csv": write_csv,
    "windows.csv": lambda path, rows: write_csv(path, rows, "\r\n"),
    "a.jsonl": write_jsonl,
    "a.csv.gz": write_gzip,
    "a.parquet": write_parquet,
}


def open_units(paths, columns=None, options=None):
    """Return the source, its units, and what reads them."""
    columns, options = columns or {"text": "text"}, options or ReadOptions()
    grid = Grid(["text"])
    source = open_files(paths, options, columns, grid.see)
    return source, grid.units(options), UnitReader(options, columns)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "UNIT_ROWS", 7)
    monkeypatch.setattr(module, "UNIT_BYTES", 60)


@pytest.mark.parametrize("name", list(WRITERS))
def test_units_read_alone_in_any_order_are_the_rows_of_the_file(name, small, tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "BLOCK_BYTES", 64)
    monkeypatch.setattr(module, "BLOCK_BYTES", 64)

    @settings(max_examples=30, deadline=None)
    @given(rows=ROWS, order=st.randoms())
    def check(rows, order):
        WRITERS[name](tmp_path / name, rows)
        source, units, reader = open_units([tmp_path / name])
        assert [unit.num_before for unit in units] == [
            sum(before.num_rows for before in units[:number]) for number in range(len(units))
        ]
        assert all(0 < unit.num_rows <= 7 for unit in units)
        shuffled = order.sample(units, len(units))
        read = {unit.number: reader.read(unit) for unit in shuffled}
        found = pl.concat([read[unit.number] for unit in units])
        assert found["text"].to_list() == [text for text, _ in rows]
        assert found["id"].to_list() == [str(number) for number in range(1, len(rows) + 1)]
        assert source.num_rows == len(rows)

    check()


def test_a_unit_of_a_plain_file_is_read_from_its_own_bytes(small, tmp_path):
    write_csv(tmp_path / "a.csv", [(f"text {number}", "x") for number in range(50)])
    _, units, reader = open_units([tmp_path / "a.csv"])
    size = (tmp_path / "a.csv").stat().st_size
    assert len(units) == 8
    assert units[0].spans[0] == (0, len("text,other\n"))
    assert [unit.spans[1][0] for unit in units[1:]] == [unit.spans[1][1] for unit in units[:-1]]
    assert units[-1].spans[1][1] == size
    # What another unit has is not looked at.
    raw = bytearray((tmp_path / "a.csv").read_bytes())
    raw[units[3].spans[1][0] : units[3].spans[1][1]] = b"\xff" * (units[3].spans[1][1] - units[3].spans[1][0])
    (tmp_path / "a.csv").write_bytes(raw)
    assert reader.read(units[5])["text"].to_list() == [f"text {number}" for number in range(35, 42)]


def test_the_cut_does_not_depend_on_the_blocks_in_which_a_file_is_read(small, tmp_path, monkeypatch):
    write_jsonl(tmp_path / "a.jsonl", [("好" * (number % 30), "x") for number in range(90)])
    _, units, _ = open_units([tmp_path / "a.jsonl"])
    for size in (10, 77, 1000):
        monkeypatch.setattr(containers, "BLOCK_BYTES", size)
        monkeypatch.setattr(module, "BLOCK_BYTES", size)
        assert open_units([tmp_path / "a.jsonl"])[1] == units


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-8"])
def test_other_encodings_and_ids_of_the_user(encoding, small, tmp_path):
    rows = [(f"n{number}", "好" * number + "é,") for number in range(30)]
    text = "name,text\r\n" + "".join(f'{name},"{text}"\r\n' for name, text in rows)
    (tmp_path / "a.csv").write_bytes(("\ufeff" * (encoding == "utf-8") + text).encode(encoding))
    columns, options = {"text": "text", "id": "name"}, ReadOptions(encoding=encoding)
    _, units, reader = open_units([tmp_path / "a.csv"], columns, options)
    found = pl.concat([reader.read(unit) for unit in units])
    assert list(found.select("id", "text").iter_rows()) == rows
    assert bool(units[0].spans) == (encoding != "utf-16")


def test_files_are_cut_one_by_one_also_where_one_is_given_twice(small, tmp_path):
    write_csv(tmp_path / "a.csv", [(f"a{number}", "") for number in range(10)])
    write_parquet(tmp_path / "b.parquet", [(f"b{number}", "") for number in range(3)])
    paths = [tmp_path / "a.csv", tmp_path / "a.csv", tmp_path / "b.parquet"]
    _, units, reader = open_units(paths)
    assert [(unit.first_row, unit.num_rows) for unit in units] == [(0, 7), (7, 3), (0, 7), (7, 3), (0, 3)]
    found = pl.concat([reader.read(unit) for unit in units])
    assert found["text"].to_list() == [f"a{number}" for number in range(10)] * 2 + ["b0", "b1", "b2"]
    assert found["id"].to_list() == [str(number) for number in range(1, 24)]


def test_a_file_of_lines_that_end_in_other_ways_is_read_from_its_beginning(small, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text\r" + b"".join(b"%d\r" % number for number in range(20)))
    _, units, reader = open_units([tmp_path / "a.csv"])
    assert [unit.spans for unit in units] == [()] * 3
    assert reader.read(units[2])["text"].to_list() == [str(number) for number in range(14, 20)]
    assert reader.read(units[0])["text"].to_list() == [str(number) for number in range(7)]


def test_windows_depend_on_the_rows_alone(monkeypatch):
    monkeypatch.setattr(module, "WINDOW_BYTES", 100)
    rows = pl.DataFrame({"id": [str(i) for i in range(50)], "text": ["好" * (i % 9) for i in range(50)]})
    heights = [window.height for window in cut_windows(rows, ["text"])]
    in_pieces = pl.concat([rows[:7], rows[7:30], rows[30:]], rechunk=False)
    assert [window.height for window in cut_windows(in_pieces, ["text"])] == heights
    # A slice, which shares the memory of what it was cut from.
    longer = pl.concat([rows, rows])[:50]
    assert [window.height for window in cut_windows(longer, ["text"])] == heights


def test_what_comes_from_no_file_is_numbered_as_it_comes(monkeypatch):
    monkeypatch.setattr(module, "UNIT_ROWS", 4)
    blocks = [pl.DataFrame({"text": ["a"] * height}) for height in (3, 0, 9)]
    assert [(number, rows.height) for number, rows in regroup(blocks)] == [(0, 3), (1, 4), (2, 4), (3, 1)]
