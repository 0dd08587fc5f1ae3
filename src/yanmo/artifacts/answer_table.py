"""Answers for people: a line each, or a table with the texts; it knows no file and no model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import polars as pl

from yanmo.artifacts.gap_table import gap_column, gap_lines, has_gaps
from yanmo.artifacts.span_table import has_spans, span_lines, told_spans
from yanmo.artifacts.tree_table import has_trees, tree_lines
from yanmo.artifacts.vector_table import has_vectors, vector_column, vector_lines
from yanmo.streams import printable

__all__ = ["answer_lines", "answer_table"]

NO_ANSWER = "(not sure)"
FORMULA = r"^[=+\-@\t\r＝＋－＠]"
"""What spreadsheets begin to compute at, in full width too."""


def answer_lines(frame: pl.DataFrame, texts: pl.Series | None, labels: Sequence[str]) -> Iterator[str]:
    """Yield one line a row: the label, or that there is none, a tab, the probability; or spans, a tree, a vector, gaps.

    Args:
        frame: Predictions.
        texts: Of the rows, as they were given; needed for spans.
        labels: All labels.
    """
    if has_vectors(frame):
        yield from vector_lines(frame)
        return
    if has_gaps(frame):
        yield from gap_lines(frame)
        return
    if has_trees(frame) and texts is not None:
        yield from tree_lines(frame, texts)
        return
    if has_spans(frame) and texts is not None:
        yield from span_lines(frame, texts, labels)
        return
    for label, probability in _flat_labels(frame, labels).select("prediction", "probability").iter_rows():
        # A Bundle of others, or of before such labels were refused, may have a line end in one.
        yield f"{NO_ANSWER if label is None else printable(label, kept='')}\t{probability:.4f}"


def answer_table(
    texts: pl.DataFrame, frame: pl.DataFrame, flat_labels: Sequence[str] | None, *, plain_cells: bool
) -> pl.DataFrame:
    """Return ids, texts and answers.

    Args:
        texts: Of the rows.
        frame: Their Predictions.
        flat_labels: All labels, if lists of them are to be JSON text.
        plain_cells: Whether an apostrophe is put before texts that a spreadsheet takes for formulas.
    """
    if has_vectors(frame):
        frame, flat_labels = frame.with_columns(vector_column(frame, is_flat=flat_labels is not None)), None
    if has_gaps(frame):
        frame = frame.with_columns(gap_column(frame))
    if has_spans(frame):
        told = told_spans(frame, texts.to_series())
        is_flat = flat_labels is not None
        shown = pl.Series([json.dumps(one, ensure_ascii=False) for one in told] if is_flat else told)
        frame, flat_labels = frame.with_columns(prediction=shown), None
    answers = frame if flat_labels is None else _flat_labels(frame, flat_labels)
    columns = answers.select(
        name for name in ("prediction", "probability", "stage", "vector", "gaps") if name in answers.columns
    )
    table = pl.concat([frame.select("id"), texts, columns], how="horizontal")
    return table.with_columns(_plain(table[name]) for name in table.columns) if plain_cells else table


def _plain(column: pl.Series) -> pl.Series:
    if column.dtype != pl.String:
        return column
    return column.set(column.str.contains(FORMULA), None).fill_null("'" + column)


def _flat_labels(frame: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """Return the rows with lists of labels as JSON text."""
    if frame["prediction"].dtype != pl.List(pl.String):
        return frame
    # Each label once, and not once a row.
    texts = [json.dumps(label, ensure_ascii=False) for label in labels]
    parts = pl.col("prediction").list.eval(pl.element().replace_strict(labels, texts, return_dtype=pl.String))
    return frame.with_columns(pl.format("[{}]", parts.list.join(", ")).alias("prediction"))
