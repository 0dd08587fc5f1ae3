"""Parquet files by their path: the one place that reads and writes them; it knows no column.

polars takes a path that it is given as a pattern, a home or an address: ``run[1]`` reads ``run1``, ``~`` goes to the
user's home. Here a path is a path.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

__all__ = [
    "count_rows",
    "join_evenly",
    "join_parquet",
    "read_metadata",
    "read_parquet",
    "scan_parquet",
    "write_parquet",
    "write_pieces",
]

ROW_GROUP = 122_880
"""Rows of a row group that polars comes closest to where it is given a whole table."""
GROUP_ROWS = 1 << 16
GROUP_BYTES = 1 << 25
"""The most that a reader must have in memory together of what was made in parts."""


def scan_parquet(*paths: Path) -> pl.LazyFrame:
    """Return the rows of files with the same columns, one after the other, still unread."""
    # A folder on the way that is called a=b would become a column.
    return pl.scan_parquet([path.absolute() for path in paths], glob=False, hive_partitioning=False)


def read_parquet(path: Path) -> pl.DataFrame:
    """Return the rows of a file."""
    return pl.read_parquet(path.absolute(), glob=False, hive_partitioning=False)


def read_metadata(path: Path) -> dict[str, str]:
    """Return what a file says about itself."""
    with path.open("rb") as file:
        return pl.read_parquet_metadata(file)


def count_rows(path: Path) -> int:
    """Return how many rows a file has, without reading them."""
    return int(scan_parquet(path).select(pl.len()).collect().item())


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write rows to a file; equal rows give equal bytes."""
    frame.write_parquet(path.absolute(), statistics=False)


def join_parquet(parts: Sequence[Path], path: Path, *, row_group_size: int | None = None) -> None:
    """Write the rows of several files to one; equal files give equal bytes.

    Args:
        parts: The files, in order, with the same columns.
        path: Where to.
        row_group_size: Rows that a reader must have in memory together; by default those of each file.
    """
    scan_parquet(*parts).sink_parquet(path.absolute(), statistics=False, row_group_size=row_group_size)


def join_evenly(parts: Sequence[Path], path: Path) -> None:
    """Write the rows of several files to one, in row groups that do not depend on how the files came to be cut.

    Args:
        parts: The files, in order, with the same columns.
        path: Where to.
    """
    if len(parts) == 1:
        shutil.copyfile(parts[0], path)
        return
    first = read_parquet(parts[0])
    row_bytes = max(int(first.estimated_size()) // max(first.height, 1), 1)
    join_parquet(parts, path, row_group_size=max(1, min(GROUP_ROWS, GROUP_BYTES // row_bytes)))


def write_pieces(frames: Iterable[pl.DataFrame], num_rows: int, path: Path) -> None:
    """Write the file that :func:`write_parquet` makes of a whole table, byte for byte, from the table's pieces.

    Args:
        frames: The pieces; one row group of them is in memory at a time.
        num_rows: Of all pieces together, at least 1.
        path: Where to.
    """
    parts_dir = path.with_name(f"{path.name}.parts")
    parts_dir.mkdir()
    parts = []
    for number, group in enumerate(_row_groups(frames, _group_heights(num_rows))):
        parts.append(parts_dir / f"{number:06}.parquet")
        write_parquet(group, parts[-1])
    if len(parts) == 1:
        parts[0].rename(path)
    else:
        join_parquet(parts, path)
    shutil.rmtree(parts_dir)


def _group_heights(num_rows: int) -> list[int]:
    """Return the heights of the row groups that polars makes of a whole table, which no setting tells."""
    # polars rounds to whichever number of groups brings their height nearest to its own; the first ones get the rest.
    fewer = max(num_rows // ROW_GROUP, 1)
    num_groups = min(fewer, fewer + 1, key=lambda number: abs(num_rows // number - ROW_GROUP))
    height, more = divmod(num_rows, num_groups)
    return [height + 1] * more + [height] * (num_groups - more)


def _row_groups(frames: Iterable[pl.DataFrame], heights: Iterable[int]) -> Iterator[pl.DataFrame]:
    """Yield the rows in pieces of these heights."""
    stream, waiting = iter(frames), pl.DataFrame()
    for height in heights:
        pieces = [waiting] if waiting.height else []
        while sum(piece.height for piece in pieces) < height:
            pieces.append(next(stream))
        waiting = pl.concat(pieces).rechunk()  # concat leaves a single piece as it is
        yield waiting[:height]
        waiting = waiting[height:]
