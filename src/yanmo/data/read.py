"""Raw files to tables of strings: CSV, TSV, JSONL, Parquet; it knows no task, no cleaning and no Dataset.

Nothing is guessed: columns come by name, all values stay the text they are in the file (the label ``01`` stays
``01``), and every row remembers its file and line.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from yanmo.config import Config
from yanmo.counted import counted
from yanmo.data.containers import EXTENSIONS, SHEETS, ByteSpans, file_kind, unread_kind
from yanmo.data.decode import Encoding, check_file, utf8_blocks
from yanmo.data.delimited import Dialect, read_delimited
from yanmo.data.fasttext import FASTTEXT_COLUMNS, is_fasttext, read_fasttext_blocks
from yanmo.data.header import DELIMITER_NAMES, check_delimiter, check_header, peek_line, split_sep_line
from yanmo.data.records import RecordBlock, missing_column, read_jsonl_blocks, read_parquet_blocks
from yanmo.data.sheets import read_sheet
from yanmo.errors import ConfigError, DataError, did_you_mean

__all__ = ["DELIMITERS", "FILE", "JSON_LINES", "LINE", "ReadOptions", "read_blocks", "read_table"]

logger = logging.getLogger(__name__)

FILE = "_file"
LINE = "_line"

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
"""Kinds of files that have fields, to what separates them."""
JSON_LINES = (".jsonl", ".ndjson")
QUOTES = {"double": '"', "single": "'", "none": None}


class ReadOptions(Config):
    """How raw files are read. Delimiter, quote and header are about CSV, TSV and TXT files only."""

    file_type: Literal["csv", "tsv", "txt", "jsonl", "parquet"] | None = None
    """What the files are, whatever they are called; by default the extension of each says it. A pipe has none."""

    sheet: str | None = None
    """Which sheet of a spreadsheet is read; by default the only one that has rows."""

    encoding: Encoding = "utf-8"
    """Encoding of the files; decoding is strict and never guessed. gbk and gb2312 are read as gb18030."""

    delimiter: str | None = None
    """What separates fields: one character, or tab, comma, semicolon, pipe. By default a comma for .csv, else a tab."""

    quote: Literal["auto", "double", "single", "none"] = "auto"
    """What encloses a field. auto: double quotes for .csv; none for .tsv and .txt, where a quote is plain text."""

    header: bool = True
    """Whether the first row holds the column names; without a header they are 1, 2, 3, …"""

    skip_spaces: bool = False
    """Whether spaces behind a delimiter are left out, also before a quote."""


def read_table(paths: Sequence[Path], options: ReadOptions, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the rows of one or several files, in order.

    Args:
        paths: The files; the extension says the format.
        options: Encoding, delimiter, quote, header.
        columns: The names of the wanted columns; None means all, which must then be equal in every file.

    Returns:
        String columns (null only where JSON or Parquet has null), then ``_file`` (String, the path as given) and
        ``_line`` (Int64: the line on which the row begins, from 1; for Parquet the row number).

    Raises:
        DataError: A file is missing, damaged, ragged, empty, of an unknown kind, or lacks a column.
        ConfigError: No file is given, or the delimiter is no single character.
    """
    table = pl.concat(list(read_blocks(paths, options, columns)), rechunk=True)
    for path in paths:
        logger.info("%s: %s", path, counted(int((table[FILE] == str(path)).sum()), "row"))
    return table


def read_blocks(
    paths: Sequence[Path], options: ReadOptions, columns: Sequence[str] | None = None, *, spans: ByteSpans = ()
) -> Iterator[pl.DataFrame]:
    """Yield what :func:`read_table` returns in pieces of a few megabytes, so that the files may be of any size.

    An error comes when its place is reached.

    Args:
        paths: As there.
        options: As there.
        columns: As there.
        spans: What is read of a text file that is not compressed: its beginning up to the first row, then whole rows.
            Lines are counted as if it were all.
    """
    if not paths:
        raise ConfigError("No file is given.", hint=f"Name one or more files: {', '.join(EXTENSIONS)}.")
    first: list[str] | None = None
    for path in paths:
        for table in _read_file(path, options, columns, spans):
            first = table.columns if first is None else first
            # Another order of the same columns is fine; that of the first file is kept.
            if sorted(table.columns) != sorted(first):
                raise DataError(
                    f"{path} has the columns {_names(table.columns)}, but {paths[0]} has {_names(first)}.",
                    hint="Files that are read together need the same columns.",
                )
            yield table.select(first)


def _read_file(
    path: Path, options: ReadOptions, columns: Sequence[str] | None, spans: ByteSpans
) -> Iterator[pl.DataFrame]:
    check_file(path)
    extension = file_kind(path, options.file_type)
    if options.sheet is not None and extension not in SHEETS:
        logger.warning("The 'sheet' parameter has no effect on %s, which is no spreadsheet.", path)
    wanted = None if columns is None else list(dict.fromkeys(columns))
    if extension == ".parquet" and (options.file_type or path.suffix.lower() == extension):
        blocks = read_parquet_blocks(path, wanted)
    elif extension in JSON_LINES:
        blocks = read_jsonl_blocks(path, utf8_blocks(path, options.encoding, spans), wanted)
    elif extension in SHEETS and path.suffix.lower() == extension:
        blocks = iter([read_sheet(path, wanted, header=options.header, sheet=options.sheet)])
    elif extension in DELIMITERS:
        blocks = _read_text_table(path, options, wanted, spans)
    else:
        raise unread_kind(path) or _unknown_kind(path, extension)
    for series, lines_N in blocks:
        table = pl.DataFrame({name: column.alias(name) for name, column in series.items()})
        yield table.with_columns(pl.lit(str(path)).alias(FILE), pl.Series(LINE, np.asarray(lines_N, dtype=np.int64)))


def _unknown_kind(path: Path, extension: str) -> DataError:
    readable = f"Files that can be read: {', '.join(EXTENSIONS)}; all but Parquet also with .gz or .zst behind it."
    if not extension:
        return DataError(
            f"{path} has no extension, so nothing says what it holds.", hint=f"Say it: --file-type csv. {readable}"
        )
    suggestion = did_you_mean(extension, EXTENSIONS)
    return DataError(f"{path} has the unknown extension '{extension}'.{suggestion}", hint=readable)


def _read_text_table(
    path: Path, options: ReadOptions, wanted: Sequence[str] | None, spans: ByteSpans
) -> Iterator[RecordBlock]:
    names: list[str] = []
    num_rows = 0
    head, blocks = peek_line(utf8_blocks(path, options.encoding, spans))
    if options.delimiter is None and is_fasttext(file_kind(path, options.file_type), head):
        yield from _read_fasttext(path, blocks, wanted)
        return
    delimiter, length = split_sep_line(head)
    dialect = _dialect(path, options, delimiter)
    if length:
        _say_sep_line(path, dialect.delimiter)
        blocks = _without(blocks, length)
    elif options.header and wanted is not None:
        # Before any row is read: at the wrong delimiter rows have other numbers of fields, which would be said instead.
        check_delimiter(path, head, dialect, wanted)
    for columns, lines_N in read_delimited(path, blocks, dialect, 2 if length else 1):
        # Only the first block has the header.
        start = int(options.header and not names)
        if not names:
            names = [str(column[0] if start else place) for place, column in enumerate(columns, 1)]
            names = [name.strip() for name in names] if options.skip_spaces else names
            check_header(path, names, wanted, header=options.header)
        # Of columns that nobody wants two may have one name.
        found = {name: column[start:] for name, column in zip(names, columns, strict=True)}
        yield {name: found[name] for name in (names if wanted is None else wanted)}, lines_N[start:]
        num_rows += len(lines_N) - start
    if not num_rows:
        raise DataError(
            f"{path} has a header line but no rows.",
            hint="Give a file that has rows; if its only line is a row: --no-header.",
        )


def _read_fasttext(path: Path, blocks: Iterator[bytes], wanted: Sequence[str] | None) -> Iterator[RecordBlock]:
    missing = next((name for name in wanted or () if name not in FASTTEXT_COLUMNS), None)
    if missing is not None:
        raise missing_column(
            str(path), missing, FASTTEXT_COLUMNS, more=" Its lines begin with __label__, as fastText's do."
        )
    for found, lines_N in read_fasttext_blocks(path, blocks):
        yield {name: found[name] for name in (wanted or FASTTEXT_COLUMNS)}, lines_N


def _without(blocks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """Yield the blocks without the first bytes, all of which are in the first block."""
    yield next(blocks)[length:]
    yield from blocks


@functools.cache
def _say_sep_line(path: Path, delimiter: str) -> None:
    """Say it once, however often the file is read."""
    logger.info("%s begins with Excel's line sep=; its fields are taken to end at %r.", path, delimiter)


def _dialect(path: Path, options: ReadOptions, named: str | None) -> Dialect:
    extension = file_kind(path, options.file_type)
    given = next(one for one in (options.delimiter, named, DELIMITERS[extension]) if one is not None)
    delimiter = DELIMITER_NAMES.get(given, given)
    style = options.quote if options.quote != "auto" else ("double" if extension == ".csv" else "none")
    quote = QUOTES[style]
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in ("\n", "\r", quote):
        raise ConfigError(
            f"The 'delimiter' parameter must be one ASCII character, no quote and no line end. Got {given!r} instead.",
            hint=f"Names are understood too: {', '.join(name for name in DELIMITER_NAMES if name.isalpha())}.",
        )
    return Dialect(delimiter, quote, options.skip_spaces)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in columns if name not in (FILE, LINE))
