"""Parquet files by their path: the one place that reads and writes them; it knows no column.

polars takes a path that it is given as a pattern, a home or an address: ``run[1]`` reads ``run1``, ``~`` goes to the
user's home. Here a path is a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

__all__ = ["count_rows", "join_parquet", "read_parquet", "scan_parquet", "write_parquet"]


def scan_parquet(*paths: Path) -> pl.LazyFrame:
    """Return the rows of files with the same columns, one after the other, still unread."""
    return pl.scan_parquet([path.absolute() for path in paths], glob=False, hive_partitioning=False)


def read_parquet(path: Path) -> pl.DataFrame:
    """Return the rows of a file."""
    return pl.read_parquet(path.absolute(), glob=False, hive_partitioning=False)


def count_rows(path: Path) -> int:
    """Return how many rows a file has, without reading them."""
    return int(scan_parquet(path).select(pl.len()).collect().item())


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write rows to a file; equal rows give equal bytes."""
    frame.write_parquet(path.absolute(), statistics=False)


def join_parquet(parts: Sequence[Path], path: Path, *, row_group_size: int) -> None:
    """Write the rows of several files to one; equal files give equal bytes.

    Args:
        parts: The files, in order, with the same columns.
        path: Where to.
        row_group_size: Rows that a reader must have in memory together.
    """
    scan_parquet(*parts).sink_parquet(path.absolute(), statistics=False, row_group_size=row_group_size)
