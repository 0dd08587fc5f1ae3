"""The grid: which rows are answered together, and how such a unit is read; it knows no model and no executor.

The grid is a function of the source and of how it is read, never of who works or how many do. So a unit that is made
again, here or elsewhere, has the same rows, and the batches that are cut from it are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from yanmo.arrays import IntArray
from yanmo.artifacts.copies import copy_again
from yanmo.artifacts.origins import Origin, origin_of
from yanmo.data.containers import BLOCK_BYTES, COMPRESSIONS, ByteSpans, file_kind
from yanmo.data.read import DELIMITERS, FILE, JSON_LINES, LINE, ReadOptions, read_blocks
from yanmo.data.records import read_parquet_blocks
from yanmo.data.rows import number_rows
from yanmo.errors import DataError

__all__ = ["UNIT_ROWS", "Grid", "Unit", "UnitReader", "cut_windows", "regroup"]

UNIT_ROWS = 1 << 14
"""Rows of a unit, fewer if they are long: what a kill may cost, and what a worker takes at a time."""
UNIT_BYTES = 1 << 23
"""Bytes of texts of a unit, unless one text has more."""
WINDOW = 8192
"""Texts that are answered at a time, fewer if they are long."""
WINDOW_BYTES = 1 << 22
"""Bytes of texts that are answered at a time, unless one text has more."""
WIDE_ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be")
"""In all others the byte of a line feed is never part of another character."""
LINE_FEED = 10


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows that follow each other in one file.

    Attributes:
        number: Place in the grid, from 0.
        path: The file, from the root; of a copy, in the process that has cut the units.
        first_row: The first of the rows, from 0 at the beginning of the file.
        num_rows: How many.
        num_before: Rows of all units before this one.
        spans: The bytes to read for it; none where the file can only be read from its beginning, or has row groups.
        origin: Where the file is a copy from, which another machine makes for itself.
    """

    number: int
    path: str
    first_row: int
    num_rows: int
    num_before: int
    spans: ByteSpans = ()
    origin: Origin | None = None


@dataclass
class _Stretch:
    """Rows of a unit that is being cut: the line of the first of them, and what the texts so far take."""

    path: str
    line: int
    first_row: int
    num_rows: int = 0
    num_bytes: int = 0


@dataclass
class Grid:
    """Cuts rows into units while somebody reads them.

    Attributes:
        inputs: The columns of texts, whose bytes count.
    """

    inputs: Sequence[str]
    _stretches: list[_Stretch] = field(default_factory=list, init=False)
    _last_line: int = field(default=0, init=False)

    def see(self, rows: pl.DataFrame) -> None:
        """Take the next rows: a block of one file, with ``_file`` and ``_line``."""
        if not rows.height:
            return
        path, lines_N = rows[FILE][0], rows[LINE].to_numpy()
        last = self._stretches[-1] if self._stretches else None
        # A file may be given twice in a row: its lines begin anew.
        if last is None or last.path != path or lines_N[0] <= self._last_line:
            self._stretches.append(_Stretch(path, int(lines_N[0]), 0))
        self._last_line = int(lines_N[-1])
        self._cut(lines_N, np.cumsum(text_bytes(rows, self.inputs)))

    def _cut(self, lines_N: IntArray, ends_N: IntArray) -> None:
        """Give rows to the unit in the making, and to new ones when it is full; ``ends_N`` adds up their bytes."""
        start, num_rows = 0, len(lines_N)
        while start < num_rows:
            unit, before = self._stretches[-1], int(ends_N[start - 1]) if start else 0
            fitting = int(np.searchsorted(ends_N, before + UNIT_BYTES - unit.num_bytes, side="right"))
            # One row may always be a unit, however long it is.
            stop = min(max(fitting, start + (not unit.num_rows)), start + UNIT_ROWS - unit.num_rows, num_rows)
            if stop == start:
                row = unit.first_row + unit.num_rows
                self._stretches.append(_Stretch(unit.path, int(lines_N[start]), row))
                continue
            unit.num_rows += stop - start
            unit.num_bytes += int(ends_N[stop - 1]) - before
            start = stop

    def units(self, options: ReadOptions) -> list[Unit]:
        """Return all units, when all rows were seen.

        Args:
            options: How the files are read.
        """
        found: list[Unit] = []
        num_before = 0
        for stretch, spans in zip(self._stretches, self._spans(options), strict=True):
            path = Path(stretch.path).absolute()
            found.append(
                Unit(
                    number=len(found),
                    path=str(path),
                    first_row=stretch.first_row,
                    num_rows=stretch.num_rows,
                    num_before=num_before,
                    spans=spans,
                    origin=origin_of(path),
                )
            )
            num_before += stretch.num_rows
        return found

    def _spans(self, options: ReadOptions) -> Iterator[ByteSpans]:
        """Yield the bytes of each unit."""
        runs: list[list[_Stretch]] = []
        for stretch in self._stretches:
            if stretch.first_row == 0:
                runs.append([])
            runs[-1].append(stretch)
        for run in runs:
            path, offsets = Path(run[0].path), None
            if _has_lines(path, options):
                offsets = _line_offsets(path, [stretch.line for stretch in run])
            if offsets is None:
                yield from ((),) * len(run)
                continue
            # Of a table the beginning is read, too: it has the names of the columns.
            head = () if file_kind(path, options.file_type) in JSON_LINES else ((0, offsets[0]),)
            for begin, end in zip(offsets, [*offsets[1:], path.stat().st_size], strict=True):
                yield (*head, (begin, end))


def _has_lines(path: Path, options: ReadOptions) -> bool:
    """Return whether a file can be read from the beginning of a line on."""
    is_plain = path.suffix.lower() not in COMPRESSIONS and options.encoding not in WIDE_ENCODINGS
    return is_plain and file_kind(path, options.file_type) in (*DELIMITERS, *JSON_LINES)


def _line_offsets(path: Path, lines: Sequence[int]) -> list[int] | None:
    """Return at which byte each line begins, None where something else than a line feed ends some lines.

    Args:
        path: The file.
        lines: Line numbers from 1, in order.
    """
    # The line feed before each line, by number from 0; none stands before the first line.
    wanted_M = np.asarray(lines) - 2
    offsets_M = np.zeros(len(lines), dtype=np.int64)
    place = num_feeds = num_alone = 0
    is_return = False
    with path.open("rb") as file:
        while data := file.read(BLOCK_BYTES):
            # A carriage return at the end of a block may have its line feed in the next one.
            num_alone += data.count(b"\r") - data.count(b"\r\n") - (is_return and data.startswith(b"\n"))
            is_return = data.endswith(b"\r")
            feeds = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == LINE_FEED)
            here_M = (wanted_M >= num_feeds) & (wanted_M < num_feeds + len(feeds))
            offsets_M[here_M] = place + feeds[wanted_M[here_M] - num_feeds] + 1
            num_feeds += len(feeds)
            place += len(data)
    return None if num_alone or int(wanted_M[-1]) >= num_feeds else [int(offset) for offset in offsets_M]


@dataclass
class _Cursor:
    """Rows of one file from some row on, taken one piece after the other."""

    path: str
    row: int
    blocks: Iterator[pl.DataFrame]
    rest: pl.DataFrame = field(default_factory=pl.DataFrame)

    def take(self, num_rows: int) -> list[pl.DataFrame]:
        """Return the next rows, in pieces."""
        self.row += num_rows
        pieces: list[pl.DataFrame] = []
        while num_rows:
            if not self.rest.height:
                found = next(self.blocks, None)
                if found is None:
                    raise DataError(f"{self.path} has become shorter since it was read first.", hint="Begin anew.")
                self.rest = found
            pieces.append(self.rest[:num_rows])
            self.rest = self.rest[num_rows:]
            num_rows -= pieces[-1].height
        return pieces


class UnitReader:
    """Reads the rows of units.

    Where a file can only be read from its beginning, as those that are compressed, the reader goes on from the unit
    before, and begins anew only for one that stands earlier.

    Args:
        options: How files are read.
        columns: Our name of a column to the file's; without ``id`` the rows are numbered.
    """

    def __init__(self, options: ReadOptions, columns: Mapping[str, str]) -> None:
        self._options = options
        self._columns = columns
        self._cursor: _Cursor | None = None

    def read(self, unit: Unit) -> pl.DataFrame:
        """Return the rows of a unit: ``id`` and the texts.

        Raises:
            DataError: The file has changed, or cannot be read here.
        """
        cursor = self._move_to(unit)
        table = pl.concat(cursor.take(unit.num_rows))
        rows = table.select(pl.col(theirs).alias(ours) for ours, theirs in self._columns.items())
        return rows if "id" in self._columns else number_rows(rows, unit.num_before)

    def _move_to(self, unit: Unit) -> _Cursor:
        wanted = list(dict.fromkeys(self._columns.values()))
        path = copy_again(unit.origin) if unit.origin else Path(unit.path)
        if unit.spans:
            return _Cursor(str(path), unit.first_row, read_blocks([path], self._options, wanted, spans=unit.spans))
        if path.suffix.lower() == ".parquet":
            # It has row groups: nothing before the unit is read.
            blocks = read_parquet_blocks(path, wanted, first_row=unit.first_row)
            return _Cursor(str(path), unit.first_row, (pl.DataFrame(columns) for columns, _ in blocks))
        cursor = self._cursor
        if cursor is None or cursor.path != str(path) or cursor.row > unit.first_row:
            cursor = _Cursor(str(path), 0, read_blocks([path], self._options, wanted))
        cursor.take(unit.first_row - cursor.row)
        self._cursor = cursor
        return cursor


def text_bytes(rows: pl.DataFrame, inputs: Sequence[str]) -> IntArray:
    """Return the bytes of each row's texts, shape (N,), as far as the columns are there."""
    names = [name for name in inputs if name in rows.columns]
    sizes: Any = rows.select(pl.sum_horizontal(pl.col(names).str.len_bytes()).cast(pl.Int64)).to_series()
    return np.asarray(sizes.to_numpy(), dtype=np.int64)


def cut_windows(rows: pl.DataFrame, inputs: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield the rows in windows that are answered at a time: a function of the rows alone."""
    # As many rows as have so many bytes on average, at least one. Their texts are counted, and not what polars holds,
    # which differs by how they came to be there.
    num_bytes = int(text_bytes(rows, inputs).sum())
    yield from rows.iter_slices(min(WINDOW, max(WINDOW_BYTES * rows.height // max(num_bytes, 1), 1)))


def regroup(blocks: Iterable[pl.DataFrame]) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield number and rows of what comes from no file, as soon as it is there, at most a unit's rows at a time."""
    pieces = (piece for rows in blocks if rows.height for piece in rows.iter_slices(UNIT_ROWS))
    yield from enumerate(pieces)
