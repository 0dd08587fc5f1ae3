"""Vectors for people and for programs: a JSON list in a line, or a column of a table; it knows no model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import polars as pl

__all__ = ["has_vectors", "vector_column", "vector_lines"]

DECIMALS = 6


def has_vectors(frame: pl.DataFrame) -> bool:
    """Return whether the rows of Predictions are vectors of texts."""
    return "vector" in frame.columns


def vector_lines(frame: pl.DataFrame) -> Iterator[str]:
    """Yield one line a row: the vector as a JSON list, to six digits.

    Args:
        frame: Predictions with vectors.
    """
    for values in frame["vector"].to_list():
        yield json.dumps([round(value, DECIMALS) for value in values])


def vector_column(frame: pl.DataFrame, *, is_flat: bool) -> pl.Series:
    """Return the column of a table for people.

    Args:
        frame: Predictions with vectors.
        is_flat: Whether a list has to be JSON text.
    """
    return pl.Series("vector", list(vector_lines(frame))) if is_flat else frame["vector"]
