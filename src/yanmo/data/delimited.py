"""CSV and TSV rows with their line numbers; it knows delimiters and quotes, no encodings, no meaning of a column.

A file comes and goes in blocks, so its size does not matter. Two readers give the same rows. Polars reads a block that
a scan of its bytes has shown to be regular: the same number of fields in every row, every quote at a field's edge.
Where one is not, Python's ``csv`` module reads the rest of the file, slower, and names the line of a mistake. (Polars
alone would fill short rows without a word.)
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.counted import counted
from yanmo.errors import DataError

__all__ = ["Dialect", "read_delimited"]

ColumnBlock: TypeAlias = tuple[list[pl.Series], npt.NDArray[np.int64]]

# The csv module refuses fields over 128 KB unless told otherwise; this is the most that a C long holds everywhere.
LARGEST_FIELD = 2**31 - 1
LONGEST_ROW = 1 << 24
"""Bytes of a row at which the search for its end is left to the careful reader."""
BLOCK_CHARACTERS = 1 << 22
LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Dialect:
    """How rows become fields.

    Attributes:
        delimiter: One character.
        quote: What encloses a field, None where quotes mean nothing.
        skips_spaces: Whether spaces behind a delimiter are left out, also before a quote.
    """

    delimiter: str
    quote: str | None
    skips_spaces: bool = False


def read_delimited(path: Path, blocks: Iterable[bytes], dialect: Dialect, line: int = 1) -> Iterator[ColumnBlock]:
    """Yield the columns of a file block by block, header row included, and the line on which each row begins.

    Args:
        path: For messages.
        blocks: The content in UTF-8, in pieces of whole characters.
        dialect: Delimiter and quote.
        line: The number of the first line.

    Yields:
        String columns without names, as many in every block, and int64 line numbers; at least one row.

    Raises:
        DataError: A row has more or fewer fields than the first, or a quote is not closed or followed by text.
    """
    # Empty blocks are left out, so that the one added here says alone that the last row is complete.
    pieces, data, width = itertools.chain(filter(None, blocks), (b"",)), b"", 0
    for piece in pieces:
        data += piece
        stop = _rows_end(data, dialect) if piece else len(data)
        if not stop and len(data) < LONGEST_ROW:
            continue
        block = _read_regular(data[:stop], dialect)
        if block is None or len(block[0]) != (width or len(block[0])):
            # The other reader never gives the file back: it begins with what has not been yielded.
            yield from _read_carefully(path, itertools.chain((data,), pieces), dialect, line, width)
            return
        columns, lines_N = block
        yield columns, lines_N + (line - 1)
        width, line, data = len(columns), line + data.count(b"\n", 0, stop), data[stop:]
    if not width:
        raise DataError(f"{path} has no rows, only blank lines.", hint="Give a file that has rows.")


def _rows_end(data: bytes, dialect: Dialect) -> int:
    """Return where the last complete row ends, 0 if there is none; right where the block is regular."""
    # A line end inside of quotes ends no row. Where an odd number of quotes stands before it, one is open; so the
    # search goes back to before the line with the last quote, until the number is even.
    end = data.rfind(b"\n") + 1
    quote = dialect.quote.encode() if dialect.quote else b""
    num_quotes = data.count(quote, 0, end) if quote else 0
    while num_quotes % 2:
        start = data.rfind(b"\n", 0, data.rfind(quote, 0, end)) + 1
        num_quotes -= data.count(quote, start, end)
        end = start
    return end


def regular_lines(data: bytes, dialect: Dialect) -> npt.NDArray[np.int64] | None:
    """Return the line on which each row begins if the file is regular, else None.

    Regular: all rows have the same number of fields, no row is blank, quotes open at the start and close at the end
    of a field, and every line ends in LF or CR LF.

    Args:
        data: The content in UTF-8.
        dialect: Delimiter and quote.
    """
    if data.count(b"\r") != data.count(b"\r\n") or not data:
        return None
    if not data.endswith(b"\n"):
        data += b"\n"
    # All marks are found at once. A mark is outside of quotes where an even number of quotes stands before it; a
    # doubled quote closes and opens again, which changes nothing.
    bytes_ = np.frombuffer(data, dtype=np.uint8)
    quote = ord(dialect.quote) if dialect.quote else 0
    is_mark = (bytes_ == ord("\n")) | (bytes_ == ord(dialect.delimiter))
    positions = np.flatnonzero(is_mark | (bytes_ == quote) if quote else is_mark)
    marks = bytes_[positions]
    outside = np.ones(len(marks), dtype=bool)
    if quote and quote in data:
        opened = np.cumsum(marks == quote) % 2 == 1
        if opened[-1] or not _quotes_at_edges(bytes_, positions[marks == quote], dialect):
            return None
        outside = ~opened & (marks != quote)
    return _row_lines(positions, marks, outside, data)


def _quotes_at_edges(bytes_: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp], dialect: Dialect) -> bool:
    """Tell whether all quotes open or close a whole field, or are doubled within one."""
    edges = np.array([ord("\n"), ord("\r"), ord(dialect.delimiter), ord(dialect.quote or '"')], dtype=np.uint8)
    opening, closing = quotes[0::2], quotes[1::2]
    before = bytes_[opening[opening > 0] - 1]
    return bool(np.isin(before, edges).all() and np.isin(bytes_[closing + 1], edges).all())


def _row_lines(
    positions: npt.NDArray[np.intp], marks: npt.NDArray[np.uint8], outside: npt.NDArray[np.bool_], data: bytes
) -> npt.NDArray[np.int64] | None:
    is_newline = marks == ord("\n")
    row_ends = np.flatnonzero(is_newline & outside)
    num_delimiters = np.cumsum(outside & ~is_newline)[row_ends]
    # Running counts at the row ends; every row must add as many delimiters as the first.
    if (np.diff(num_delimiters, prepend=0) != num_delimiters[0]).any():
        return None
    ends = positions[row_ends]
    row_bytes = np.diff(ends, prepend=-1) - 1
    # A row of one byte may be the CR of a blank line. Where it is a letter, the careful reader is slower but right.
    if row_bytes.min() == 0 or (row_bytes.min() == 1 and b"\r\n" in data):
        return None
    lines = np.cumsum(is_newline)[row_ends]
    return np.concatenate(([1], lines[:-1] + 1)).astype(np.int64)


def _read_regular(data: bytes, dialect: Dialect) -> ColumnBlock | None:
    """Read with polars; None if the rows are not regular."""
    # polars leaves no spaces out.
    lines_N = None if dialect.skips_spaces else regular_lines(data, dialect)
    if lines_N is None:
        return None
    try:
        # Nothing is inferred: as numbers, the label 01 would become 1.
        frame = pl.read_csv(
            data,
            has_header=False,
            separator=dialect.delimiter,
            quote_char=dialect.quote,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError:
        return None
    # If polars counts other rows than the scan, the scan was wrong about this block.
    if frame.height != len(lines_N):
        return None
    # polars reads an empty field as null; in a CSV file it is an empty text.
    return frame.select(pl.all().fill_null("")).get_columns(), lines_N


def _read_carefully(
    path: Path, blocks: Iterable[bytes], dialect: Dialect, line: int, width: int
) -> Iterator[ColumnBlock]:
    """Read with Python's csv module; blank lines between rows are left out.

    Args:
        path: For messages.
        blocks: The content from the start of a row on.
        dialect: Delimiter and quote.
        line: The line on which that row begins.
        width: Number of fields in a row; 0 means that of the first.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    num_characters = 0
    for row, row_line, length in _parse(path, blocks, dialect, line):
        width = width or len(row)
        if len(row) != width:
            raise _ragged(path, row_line, row, width, dialect)
        rows.append(row)
        lines.append(row_line)
        num_characters += length
        if num_characters >= BLOCK_CHARACTERS:
            yield _as_block(rows, lines)
            rows, lines, num_characters = [], [], 0
    if not width:
        raise DataError(f"{path} has no rows, only blank lines.", hint="Give a file that has rows.")
    if rows:
        yield _as_block(rows, lines)


def _as_block(rows: list[list[str]], lines: list[int]) -> ColumnBlock:
    columns = [pl.Series(list(column), dtype=pl.String) for column in zip(*rows, strict=True)]
    return columns, np.asarray(lines, dtype=np.int64)


def _parse(path: Path, blocks: Iterable[bytes], dialect: Dialect, line: int) -> Iterator[tuple[list[str], int, int]]:
    """Yield every row that is not blank, the line on which it begins, and its number of characters."""
    csv.field_size_limit(LARGEST_FIELD)
    # The lines that the reader has taken for the row in hand, for its length and for messages.
    own_lines: list[str] = []
    reader = csv.reader(
        (own_lines.append(text) or text for text in _lines(blocks)),  # type: ignore[func-returns-value]
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        skipinitialspace=dialect.skips_spaces,
        strict=True,
    )
    begin = line
    try:
        for row in reader:
            if row:
                yield row, begin, sum(map(len, own_lines))
            begin = line + reader.line_num
            own_lines.clear()
    except csv.Error as error:
        # csv has one class of error; only its text tells a quote that is never closed from text behind one that is.
        open_at_end = "unexpected end" in str(error)
        begin = _opening_line(own_lines, begin, dialect) if open_at_end else begin
        raise _wrong_quote(path, begin, line - 1 + reader.line_num, open_at_end=open_at_end) from error


def _lines(blocks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines with their ends, whichever those are."""
    rest = ""
    for block in blocks:
        # newline="" keeps every line end as it is. The last line always waits: its CR may be half of a CR LF.
        *lines, rest = io.StringIO(rest + block.decode("utf-8"), newline="").readlines() or [""]
        yield from lines
    if rest:
        yield rest


def _ragged(path: Path, line: int, row: list[str], width: int, dialect: Dialect) -> DataError:
    start = dialect.delimiter.join(row)[:60]
    action = f"Put a field that holds {dialect.delimiter!r} between quotes" if dialect.quote else "Repair that line"
    if not dialect.skips_spaces and any(field[:1] == " " and field.lstrip()[:1] == dialect.quote for field in row):
        action = "If the quote behind a space is to open a field: --skip-spaces"
    return DataError(
        f"{path} line {line} has {counted(len(row), 'field')}, but the first row has {width}. Got {start!r}.",
        hint=f"{action}, or name the right --delimiter.",
    )


def _wrong_quote(path: Path, begin: int, line: int, *, open_at_end: bool) -> DataError:
    """Return the error for a quote that never closes, or closes in the middle of a field.

    Args:
        path: The file.
        begin: The line on which the row begins, or the quote that is never closed.
        line: The line on which the reader stopped.
        open_at_end: Whether it stopped at the end of the file.
    """
    where = f"line {line}" if begin == line else f"line {line}, in the row that begins on line {begin}"
    problem = "text follows the quote that closes a field"
    if open_at_end:
        where = f"line {begin}"
        problem = "a quote opens a field here and is never closed"
    return DataError(
        f"{path} {where}: {problem}.",
        hint="Double a quote that belongs to the text, or turn quoting off with --quote none.",
    )


def _opening_line(lines: list[str], begin: int, dialect: Dialect) -> int:
    """Return the line of the quote that is never closed, in the row that begins on line ``begin``, the first given."""
    # Read without strict, the open field is the row's last and holds all that follows the quote: its line ends are
    # counted back from the end.
    row = next(csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote))
    num_ends = len(LINE_END.findall(row[-1]))
    return begin - 1 + len(lines) - num_ends + (1 if lines[-1].endswith(("\n", "\r")) else 0)
