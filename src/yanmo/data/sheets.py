"""Sheets of a spreadsheet program as columns of strings with row numbers; it knows no meaning of a column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from yanmo.data.containers import SAVE_SHEET
from yanmo.data.header import check_header
from yanmo.data.records import RecordBlock
from yanmo.errors import DataError, MissingExtraError, did_you_mean

__all__ = ["read_sheet"]


def read_sheet(path: Path, wanted: Sequence[str] | None, *, header: bool, sheet: str | None) -> RecordBlock:
    """Return the columns of a sheet as the text that a CSV file of it would hold; rows without any value are left out.

    Args:
        path: An Excel or OpenDocument file.
        wanted: Names of columns, or None for all.
        header: Whether its first row with a value has the names; else they are 1, 2, 3 and so on.
        sheet: Its name; None: the only one that has rows.

    Returns:
        Columns by name, and the number of each row in the sheet, shape (N,).

    Raises:
        DataError: It cannot be read, has several sheets, or lacks a sheet, a column or rows.
        MissingExtraError: What reads it is not installed.
    """
    table = _load(path, sheet)
    rows = np.flatnonzero(~table.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy())
    # An empty cell is the empty text, as it is in a CSV file.
    columns = [column.gather(rows).fill_null("") for column in table.get_columns()]
    names = [str(column[0] if header else place) for place, column in enumerate(columns, 1)]
    check_header(path, names, wanted, header=header)
    start = int(header)
    if len(rows) <= start:
        raise DataError(f"{path} has no rows.", hint="Give a sheet that has rows.")
    found = {name: column[start:] for name, column in zip(names, columns, strict=True)}
    return {name: found[name] for name in (names if wanted is None else wanted)}, (rows + 1)[start:].astype(np.int64)


def _load(path: Path, sheet: str | None) -> pl.DataFrame:
    """Return the cells of a sheet, those above and left of the first value included, as strings.

    Raises:
        DataError: It cannot be read, or which sheet is meant is not said.
        MissingExtraError: What reads it is not installed.
    """
    try:
        import fastexcel
    except ImportError as error:
        raise MissingExtraError(
            f"{path} is a spreadsheet. {SAVE_SHEET} Reading it as it is", package="fastexcel", extra="excel"
        ) from error
    try:
        book = fastexcel.read_excel(path)
        names: list[str] = [name for name in book.sheet_names if name == sheet] or list(book.sheet_names)
        # A number is text here as everywhere, so that the label 1 is no 1.0.
        tables: dict[str, Any] = {name: book.load_sheet(name, header_row=None, dtypes="string") for name in names}
    except fastexcel.FastExcelError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is no readable spreadsheet: {reason}.", hint=SAVE_SHEET) from error
    listed = ", ".join(repr(name) for name in names)
    if sheet is not None and sheet not in names:
        raise DataError(f"{path} has no sheet '{sheet}'.{did_you_mean(sheet, names)}", hint=f"It has: {listed}.")
    filled = [name for name, table in tables.items() if table.height]
    if not filled:
        raise DataError(f"{path} has no rows.", hint="Give a sheet that has rows.")
    if len(filled) > 1:
        raise DataError(f"{path} has several sheets: {listed}.", hint="Name one: --sheet NAME.")
    found: pl.DataFrame = tables[filled[0]].to_polars()
    return found
