"""JSONL and Parquet columns as strings with their row numbers; it knows no encodings and no meaning of a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.errors import DataError, did_you_mean

__all__ = ["missing_column", "read_jsonl", "read_parquet"]

# Numbers with a point keep their own text: 1.50 stays 1.50.
DECODER = msgspec.json.Decoder(float_hook=str)


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


def read_jsonl(
    path: Path, data: bytes, columns: Sequence[str] | None
) -> tuple[dict[str, pl.Series], npt.NDArray[np.int64]]:
    """Return the columns of a file of JSON objects, one a line, and the line of each row.

    Args:
        path: For messages.
        data: The content in UTF-8; blank lines are left out.
        columns: The wanted keys, or None for those of the first object.

    Returns:
        Columns by key, numbers and lists as their JSON text, null or an absent key as null; int64 line numbers,
        shape (N,).

    Raises:
        DataError: A line is no JSON object, or no line has a wanted key.
    """
    lines = data.split(b"\n")
    numbers = [number for number, line in enumerate(lines, 1) if line.strip()]
    if not numbers:
        raise DataError(f"{path} has no rows, only blank lines.", hint="Give a file that has rows.")
    rows = _decode(path, lines, numbers)
    wanted = list(rows[0]) if columns is None else columns
    return {name: _key_column(path, rows, name) for name in wanted}, np.asarray(numbers, dtype=np.int64)


def _decode(path: Path, lines: list[bytes], numbers: list[int]) -> list[dict[str, Any]]:
    decode = DECODER.decode
    rows: list[dict[str, Any]] = []
    try:
        rows.extend(decode(lines[number - 1]) for number in numbers)
    except (msgspec.DecodeError, RecursionError) as error:
        number = numbers[len(rows)]
        start = lines[number - 1].decode("utf-8")[:60]
        raise DataError(
            f"{path} line {number} is not valid JSON: {error}. Got {start!r}.",
            hint="A .jsonl file holds one JSON object on every line.",
        ) from error
    wrong = next((index for index, row in enumerate(rows) if type(row) is not dict), None)
    if wrong is not None:
        start = lines[numbers[wrong] - 1].decode("utf-8").strip()[:60]
        raise DataError(
            f"{path} line {numbers[wrong]} is not a JSON object. Got {start!r}.",
            hint='A .jsonl file holds one JSON object on every line, such as {"text": "…", "label": "…"}.',
        )
    return rows


def _key_column(path: Path, rows: list[dict[str, Any]], name: str) -> pl.Series:
    values = [row.get(name) for row in rows]
    if not any(name in row for row in rows):
        raise missing_column(str(path), name, list(dict.fromkeys(key for row in rows for key in row)))
    try:
        return pl.Series(name, values, dtype=pl.String, strict=True)
    except TypeError:
        return pl.Series(name, [_as_text(value) for value in values], dtype=pl.String)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode("utf-8")


def read_parquet(path: Path, columns: Sequence[str] | None) -> tuple[dict[str, pl.Series], npt.NDArray[np.int64]]:
    """Return the columns of a Parquet file as strings, and row numbers from 1.

    Args:
        path: The file.
        columns: The wanted names, or None for all.

    Raises:
        DataError: The file is damaged, lacks a wanted column, or has one that is no text.
    """
    try:
        found = list(pl.read_parquet_schema(path))
        wanted = found if columns is None else list(columns)
        missing = next((name for name in wanted if name not in found), None)
        if missing is not None:
            raise missing_column(str(path), missing, found)
        frame = pl.read_parquet(path, columns=wanted, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is not a readable Parquet file: {reason}.", hint="Write or copy it again.") from error
    if not frame.height:
        raise DataError(f"{path} has no rows.", hint="Give a file that has rows.")
    return {name: _text_column(path, frame[name]) for name in wanted}, np.arange(1, frame.height + 1)


def _text_column(path: Path, column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.List | pl.Array):
        texts = [None if value is None else _as_text(value) for value in column.to_list()]
        return pl.Series(column.name, texts, dtype=pl.String)
    try:
        if isinstance(column.dtype, pl.Struct | pl.Object):
            raise _no_text(path, column)
        return column.cast(pl.String)
    except pl.exceptions.PolarsError as error:
        raise _no_text(path, column) from error


def _no_text(path: Path, column: pl.Series) -> DataError:
    return DataError(
        f"The column '{column.name}' of {path} is of type {column.dtype}, which is no text.",
        hint="Choose a column of strings, numbers or lists of strings.",
    )
