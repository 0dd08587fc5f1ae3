"""Labels in columns of 0 and 1, one a label: the names of those that hold; it knows no file and no task."""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

__all__ = ["YES", "holding_columns"]

YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false")


def holding_columns(columns: Sequence[str]) -> pl.Expr:
    """Return the names of the columns that hold, as the JSON text of a list; null where all of them are blank.

    A row with another value than 0, 1, true and false gets the JSON text of a table, which no task reads as labels.
    """
    cells = [pl.col(name).str.strip_chars().str.to_lowercase().fill_null("") for name in columns]
    holding = [
        pl.when(cell.is_in(YES)).then(pl.lit(json.dumps(name))) for name, cell in zip(columns, cells, strict=True)
    ]
    # Lists leave null out when they are joined.
    named = pl.format("[{}]", pl.concat_list(holding).list.join(","))
    is_known = pl.all_horizontal(cell.is_in((*YES, *NO)) for cell in cells)
    is_blank = pl.all_horizontal(cell == "" for cell in cells)
    odd = pl.struct(columns).struct.json_encode()
    return pl.when(is_known).then(named).when(~is_blank).then(odd)
