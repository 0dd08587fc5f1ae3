"""What could stand in gaps, for people and for programs: a line a text, or a column of a table; it knows no model."""

from __future__ import annotations

import json
from collections.abc import Iterator

import polars as pl

from yanmo.answers.gaps import Gaps
from yanmo.streams import printable

__all__ = ["gap_column", "gap_lines", "has_gaps"]

NUM_SHOWN = 5
NO_ANSWER = "(not sure)"


def has_gaps(frame: pl.DataFrame) -> bool:
    """Return whether Predictions are of what stands in gaps."""
    return "candidate_ids" in frame.columns


def gap_lines(frame: pl.DataFrame) -> Iterator[str]:
    """Yield one line a row: the text with its gaps filled, a tab, the probability; then the words of each gap.

    Args:
        frame: Predictions.
    """
    told = Gaps.read(frame).told()
    for (text, probability), gaps in zip(frame.select("prediction", "probability").iter_rows(), told, strict=True):
        shown = NO_ANSWER if text is None else printable(text, kept="")
        words = [
            ", ".join(f"{one.text.strip()} {one.probability:.4f}" for one in gap.words[:NUM_SHOWN]) for gap in gaps
        ]
        yield "\t".join([shown, f"{probability:.4f}", *(printable(one, kept="") for one in words)])


def gap_column(frame: pl.DataFrame) -> pl.Series:
    """Return the gaps of every row as JSON text: of each the words that could stand there, with probabilities."""
    told = [
        [{one.text: round(one.probability, 6) for one in gap.words} for gap in gaps] for gaps in Gaps.read(frame).told()
    ]
    return pl.Series("gaps", [json.dumps(one, ensure_ascii=False) for one in told], dtype=pl.String)
