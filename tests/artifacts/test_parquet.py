"""Parquet files: a path is a path, whatever a pattern, a home or an address would look like."""

import polars as pl
import pytest

from yanmo.artifacts.parquet import count_rows, join_parquet, read_parquet, scan_parquet, write_parquet, write_pieces
from yanmo.data.read import ReadOptions, read_table
from yanmo.errors import DataError

NAMES = ["run[1]", "run*", "run?", "[!x]", "{a,b}", "~", "file:", "s3:", "a%20b", "year=2024", "a?b=c#d", "é😀 b"]
OTHERS = ["run1", "runs", "y", "a", "b", "a b"]
"""Folders with other rows, which a pattern would read, too."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture(params=NAMES)
def folder(request, tmp_path, monkeypatch, home):
    """A folder of each name, beside folders with other rows, in the working directory."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    for name in OTHERS:
        (place / name).mkdir()
        write_parquet(pl.DataFrame({"text": ["other", "rows"]}), place / name / "t.parquet")
    place.joinpath(request.param).mkdir()
    return (place / request.param).relative_to(place)


def test_a_file_is_written_and_read_where_its_path_says(folder, home):
    frame = pl.DataFrame({"text": ["mine"]})
    write_parquet(frame, folder / "t.parquet")
    assert [path.name for path in folder.iterdir()] == ["t.parquet"]
    assert read_parquet(folder / "t.parquet").equals(frame)
    assert scan_parquet(folder / "t.parquet").collect().equals(frame)
    assert count_rows(folder / "t.parquet") == 1
    join_parquet([folder / "t.parquet"] * 2, folder / "two.parquet", row_group_size=2)
    assert read_parquet(folder / "two.parquet")["text"].to_list() == ["mine", "mine"]
    assert not list(home.iterdir())


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet", "[12].parquet", "*.parquet"])
def test_a_raw_file_is_read_where_its_path_says(folder, name):
    file = folder / name
    match file.suffix:
        case ".csv":
            file.write_text("text\nmine\n")
        case ".jsonl":
            file.write_text('{"text": "mine"}\n')
        case _:
            write_parquet(pl.DataFrame({"text": ["other"]}), folder / "1.parquet")
            write_parquet(pl.DataFrame({"text": ["mine"]}), file)
    assert read_table([file], ReadOptions())["text"].to_list() == ["mine"]


def test_a_damaged_raw_file_is_said_to_be_one(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"x.parquet is not a readable Parquet file"):
        read_table([tmp_path / "x.parquet"], ReadOptions())


@pytest.mark.parametrize("num_rows", [1, 50, 163_840, 163_841, 294_913, 294_914, 400_002])
def test_a_table_in_pieces_is_the_file_of_the_whole_table(num_rows, tmp_path):
    numbers = pl.int_range(num_rows, eager=True)
    whole = pl.DataFrame({"id": numbers.cast(pl.String), "text": (numbers % 977).cast(pl.String) + " 好吃"})
    write_parquet(whole, tmp_path / "whole.parquet")
    for name, height in (("many", 7_919), ("few", 350_000)):
        pieces = [whole[place : place + height] for place in range(0, num_rows, height)]
        chunks = [pl.concat([one[:3], one[3:]], rechunk=False) for one in pieces]
        write_pieces(chunks, num_rows, tmp_path / f"{name}.parquet")
        assert (tmp_path / f"{name}.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.parquet", "many.parquet", "whole.parquet"]
