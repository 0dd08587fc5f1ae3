"""What tasks share about label lists: their order and their columns in an array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from yanmo.arrays import IntArray
from yanmo.errors import DataError, did_you_mean

__all__ = ["label_columns", "sort_labels"]


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Return distinct labels in a fixed order: by number where all are whole numbers, else by code point."""
    distinct = set(labels)
    if all(label.isascii() and label.isdigit() for label in distinct):
        return sorted(distinct, key=lambda label: (int(label), label))
    return sorted(distinct)


def label_columns(column: pl.Series, labels: Sequence[str]) -> IntArray:
    """Return every label's place in the list, int64, shape (N,).

    Args:
        column: N labels, strings.
        labels: The known labels in order.

    Raises:
        DataError: A label is not in the list.
    """
    unknown = column.filter(~column.is_in(list(labels)))
    if len(unknown):
        value = str(unknown[0])
        raise DataError(
            f"The label {value!r} is unknown.{did_you_mean(value, labels)}",
            hint=f"The known labels are: {', '.join(labels[:20])}{', …' if len(labels) > 20 else ''}.",
        )
    places = column.replace_strict(list(labels), list(range(len(labels))), return_dtype=pl.Int64)
    return np.asarray(places.to_numpy(), dtype=np.int64)
