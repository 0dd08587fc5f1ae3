"""JSONL and Parquet columns, block by block, as strings with row numbers; it knows no encodings and no meaning."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.artifacts.parquet import scan_parquet
from yanmo.errors import DataError, did_you_mean

__all__ = ["missing_column", "read_jsonl_blocks", "read_parquet_blocks"]

RecordBlock: TypeAlias = tuple[dict[str, pl.Series], npt.NDArray[np.int64]]

PARQUET_ROWS = 1 << 13

# Numbers with a point keep their own text, 1.50 stays 1.50; in a list they stay numbers, too.
DECODER = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode()))


def missing_column(where: str, name: str, columns: Sequence[str], *, more: str = "") -> DataError:
    """Return the error for a column that is not there.

    Args:
        where: The file, and perhaps its line.
        name: The wanted column.
        columns: Those that are there.
        more: A further hint.
    """
    shown = ", ".join(repr(column[:40]) for column in columns[:20])
    return DataError(
        f"{where} has no column '{name}'.{did_you_mean(name, columns)}",
        hint=f"It has: {shown}{', …' if len(columns) > 20 else ''}.{more}",
    )


def read_jsonl_blocks(path: Path, blocks: Iterable[bytes], columns: Sequence[str] | None) -> Iterator[RecordBlock]:
    """Yield the columns of a file of JSON objects, one a line, block by block, and the line of each row.

    Args:
        path: For messages.
        blocks: The content in UTF-8, in pieces of whole characters; blank lines are left out.
        columns: The wanted keys, or None for those of the first object.

    Yields:
        Columns by key, numbers and lists as their JSON text, null or an absent key as null; int64 line numbers,
        shape (N,).

    Raises:
        DataError: A line is no JSON object; at the end of the file: no line has a wanted key.
    """
    # A line may go over many blocks: its pieces wait in a list and are joined once. Keys that no row had so far are
    # remembered in ``absent``; when none is left, rows are searched for keys no longer.
    data, line, wanted, is_empty = [b""], 1, columns, True
    absent, keys = dict.fromkeys(columns or ()), dict[str, None]()
    for piece in itertools.chain(filter(None, blocks), (b"",)):
        end = piece.rfind(b"\n") + 1
        if piece and not end:
            data.append(piece)
            continue
        lines = b"".join([*data, piece[:end]]).split(b"\n")
        numbers = [number for number, text in enumerate(lines) if text.strip()]
        if numbers:
            rows, places = _decode(path, lines, numbers, line), [line + number for number in numbers]
            wanted = list(rows[0]) if wanted is None else wanted
            if absent:
                keys.update(dict.fromkeys(itertools.chain.from_iterable(rows)))
                absent = dict.fromkeys(name for name in absent if name not in keys)
            yield {name: _key_column(rows, name) for name in wanted}, np.asarray(places, dtype=np.int64)
            is_empty = False
        line, data = line + len(lines) - 1, [piece[end:]]
    if is_empty:
        raise DataError(f"{path} has no rows, only blank lines.", hint="Give a file that has rows.")
    if absent:
        raise missing_column(str(path), next(iter(absent)), list(keys))


def _decode(path: Path, lines: list[bytes], numbers: list[int], line: int) -> list[dict[str, Any]]:
    """Return the objects of the numbered lines, of which the first is line ``line`` of the file."""
    decode = DECODER.decode
    rows: list[dict[str, Any]] = []
    try:
        # What was decoded before an error stays in the list, so its length says which line is wrong.
        rows.extend(decode(lines[number]) for number in numbers)
    except (msgspec.DecodeError, RecursionError) as error:
        number = numbers[len(rows)]
        start = lines[number].decode("utf-8")[:60]
        raise DataError(
            f"{path} line {line + number} is not valid JSON: {error}. Got {start!r}.",
            hint="A .jsonl file holds one JSON object on every line."
            + (" NaN is no JSON: write null." if b"NaN" in lines[number] else ""),
        ) from error
    wrong = next((index for index, row in enumerate(rows) if type(row) is not dict), None)
    if wrong is not None:
        start = lines[numbers[wrong]].decode("utf-8").strip()[:60]
        raise DataError(
            f"{path} line {line + numbers[wrong]} is not a JSON object. Got {start!r}.",
            hint='A .jsonl file holds one JSON object on every line, such as {"text": "…", "label": "…"}.',
        )
    return rows


def _key_column(rows: list[dict[str, Any]], name: str) -> pl.Series:
    values = [row.get(name) for row in rows]
    # Nearly always all values are texts, and polars takes them as they are.
    is_text = set(map(type, values)) <= {str, type(None)}
    return pl.Series(name, values if is_text else [_as_text(value) for value in values], dtype=pl.String)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode("utf-8")


def read_parquet_blocks(path: Path, columns: Sequence[str] | None, *, first_row: int = 0) -> Iterator[RecordBlock]:
    """Yield the columns of a Parquet file as strings, block by block, and row numbers from 1.

    Args:
        path: The file.
        columns: The wanted names, or None for all.
        first_row: Rows before it are not read.

    Raises:
        DataError: The file is damaged, lacks a wanted column, or has one that is no text.
    """
    num_rows = first_row
    try:
        rows = scan_parquet(path).slice(first_row)
        found = list(rows.collect_schema())
        wanted = found if columns is None else list(columns)
        missing = next((name for name in wanted if name not in found), None)
        if missing is not None:
            raise missing_column(str(path), missing, found)
        for frame in rows.select(wanted).collect_batches(chunk_size=PARQUET_ROWS):
            rows_N = np.arange(num_rows + 1, num_rows + frame.height + 1)
            yield {name: _text_column(path, frame[name]) for name in wanted}, rows_N
            num_rows += frame.height
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a readable Parquet file: {reason}.", hint="Write or copy it again.") from error
    if not num_rows:
        raise DataError(f"{path} has no rows.", hint="Give a file that has rows.")


def _text_column(path: Path, column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.List | pl.Array):
        # A list becomes the JSON text that a JSONL file would hold, which tasks of many labels read.
        texts = [None if value is None else _as_text(value) for value in column.to_list()]
        return pl.Series(column.name, texts, dtype=pl.String)
    try:
        if isinstance(column.dtype, pl.Struct | pl.Object):
            raise _no_text(path, column)
        # A number that is missing is NaN where a table has no null, as a data frame of pandas has not.
        return (column.fill_nan(None) if column.dtype.is_float() else column).cast(pl.String)
    except pl.exceptions.PolarsError as error:
        raise _no_text(path, column) from error


def _no_text(path: Path, column: pl.Series) -> DataError:
    return DataError(
        f"The column '{column.name}' of {path} is of type {column.dtype}, which is no text.",
        hint="Choose a column of strings, numbers or lists of strings.",
    )
