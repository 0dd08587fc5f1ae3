"""Spans of texts as a column of Predictions: where each begins and ends, its label, how sure it is, who found it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from yanmo.answers.answered import Span
from yanmo.answers.span_rows import SpanRows

__all__ = ["SPAN_LISTS", "span_column"]

FIELDS = {
    "start": pl.Int64(),
    "end": pl.Int64(),
    "label": pl.String(),
    "probability": pl.Float32(),
    "source": pl.String(),
}
SPAN_LISTS = pl.List(pl.Struct(FIELDS))
"""The type of such a column."""


def span_column(predictions: Sequence[tuple[Span, ...] | None]) -> pl.Series:
    """Return the spans of N rows as a column, null where no answer is given."""
    if isinstance(predictions, SpanRows):
        found = (*predictions.places_M2.T, predictions.labels(), predictions.probability_M)
        columns: dict[str, Any] = {**dict(zip(FIELDS, found, strict=False)), "source": ["model"] * len(found[0])}
        lengths: list[int | None] = np.diff(predictions.ends).tolist()
    else:
        flat = [span for spans in predictions for span in spans or ()]
        columns = {name: [getattr(span, name) for span in flat] for name in FIELDS}
        lengths = [None if spans is None else len(spans) for spans in predictions]
    frame = pl.DataFrame({name: pl.Series(columns[name], dtype=kind) for name, kind in FIELDS.items()})
    structs, rows, start = frame.to_struct("prediction"), [], 0
    for length in lengths:
        rows.append(None if length is None else structs[start : start + length])
        start += length or 0
    return pl.Series("prediction", rows, dtype=SPAN_LISTS)
