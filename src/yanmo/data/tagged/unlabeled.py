"""Rows of texts about whose parts nothing is said, from tables, beside files that say something; it knows no label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from yanmo.data.read import FILE, LINE
from yanmo.data.rows import number_rows, read_rows
from yanmo.data.tagged.survey import TagKeys
from yanmo.data.tagging import TaggingOptions

__all__ = ["UNLABELED_SPLIT", "unlabeled_rows"]

UNLABELED_SPLIT = "unlabeled"


def unlabeled_rows(
    files: Sequence[Path], options: TaggingOptions, keys: TagKeys, schema: Mapping[str, Any], *, num_before: int
) -> Iterator[pl.DataFrame]:
    """Yield the rows of tables in blocks, with every column of a reader's rows; what a label would say is null.

    Args:
        files: The tables.
        options: How they are read.
        keys: The columns of the text and of the row's own name.
        schema: Columns of the reader's rows, but for the split and where the row stands.
        num_before: Rows that were numbered before.

    Raises:
        DataError: A table cannot be read.
    """
    columns = {"text": keys.text or "text", **({"id": keys.name} if keys.name is not None else {})}
    for table in read_rows({UNLABELED_SPLIT: files}, options, columns) if files else ():
        missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in schema.items() if name not in table.columns]
        rows = table.with_columns(missing).select(*schema, "split", FILE, LINE)
        yield rows if keys.name is not None else number_rows(rows, num_before)
        num_before += rows.height
