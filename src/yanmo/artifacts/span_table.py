"""Spans for people and for programs: words with their labels in a line, JSON, CoNLL columns; it knows no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from yanmo.answers.spans import tags_of_spans
from yanmo.answers.tags import TagScheme, TagStyle
from yanmo.streams import printable

__all__ = ["conll_rows", "has_spans", "span_lines", "told_spans"]

UNLABELED = "_"
"""Stands in CoNLL columns for the tag of a unit without one."""


def has_spans(frame: pl.DataFrame) -> bool:
    """Return whether the rows of Predictions are spans of texts."""
    kind = frame.schema.get("prediction")
    return isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct)


def told_spans(frame: pl.DataFrame, texts: pl.Series) -> list[list[dict[str, Any]]]:
    """Return the spans of each row with what stands there.

    Args:
        frame: Predictions with spans.
        texts: Of the rows, as they were given.
    """
    return [
        [{**span, "text": text[span["start"] : span["end"]]} for span in spans or ()]
        for spans, text in zip(frame["prediction"].to_list(), texts.to_list(), strict=True)
    ]


def span_lines(frame: pl.DataFrame, texts: pl.Series, labels: Sequence[str]) -> Iterator[str]:
    """Yield one line a row: the words of a segmentation, else what was found, each with its label behind a slash."""
    scheme = TagScheme.of(labels)
    is_segmentation = scheme.style == "bmes" and len(scheme.kinds) == 1
    for spans in told_spans(frame, texts):
        shown = [printable(span["text"]) for span in spans]
        if not is_segmentation:
            shown = [f"{text}/{span['label']}" for text, span in zip(shown, spans, strict=True)]
        yield ("  " if not is_segmentation else " ").join(shown)


def conll_rows(frame: pl.DataFrame, texts: pl.Series, labels: Sequence[str]) -> Iterator[str]:
    """Yield the lines of each row, a unit and its tag with a tab between them, and an empty line behind.

    Args:
        frame: Predictions with spans, and the places of all units.
        texts: Of the rows, as they were given.
        labels: All tags; their scheme is that of the lines.
    """
    style = TagScheme.of(labels).style
    columns = frame["prediction"].to_list(), frame["places"].to_list(), texts.to_list()
    for spans, places, text in zip(*columns, strict=True):
        tags = _tags(spans or [], places, style)
        units = [text[start:end] for start, end in places]
        yield "".join(f"{unit}\t{tag or UNLABELED}\n" for unit, tag in zip(units, tags, strict=True)) + "\n"


def _tags(spans: list[dict[str, Any]], places: list[list[int]], style: TagStyle) -> list[str | None]:
    starts, ends = np.asarray(places, dtype=np.int64).reshape(-1, 2).T
    first = np.searchsorted(starts, [span["start"] for span in spans]).tolist()
    behind = (np.searchsorted(ends, [span["end"] for span in spans]) + 1).tolist()
    return tags_of_spans(first, behind, [span["label"] for span in spans], len(places), style=style)
