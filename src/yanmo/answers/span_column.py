"""Spans of texts as a column of Predictions: where each begins and ends, its label, how sure it is, who found it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from yanmo.answers.answered import Span

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
    flat = [span for spans in predictions for span in spans or ()]
    values = {name: pl.Series([getattr(span, name) for span in flat], dtype=kind) for name, kind in FIELDS.items()}
    structs = pl.DataFrame(values).to_struct("prediction")
    rows, start = [], 0
    for spans in predictions:
        rows.append(None if spans is None else structs[start : start + len(spans)])
        start += len(spans or ())
    return pl.Series("prediction", rows, dtype=SPAN_LISTS)
