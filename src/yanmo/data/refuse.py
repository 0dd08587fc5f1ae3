"""The cleaning of all rows, and which rows a Dataset refuses, and why; it knows no raw files and no task.

A refused row is never lost without a word: it goes to ``rejected.jsonl`` with its file, line, reason and the start of
its text, and is counted by reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path, PurePath

import msgspec
import polars as pl

from yanmo.data.read import FILE, LINE
from yanmo.data.rows import place
from yanmo.errors import DataError
from yanmo.text.clean import clean_column

__all__ = ["REASONS", "check_share", "clean_rows", "refusal_reasons", "write_rejected"]

logger = logging.getLogger(__name__)

REASONS = (
    "missing id",
    "missing text",
    "empty text",
    "NUL character in text",
    "empty after cleaning",
    "missing label",
    "unreadable label",
)
START_LENGTH = 80
PAIR_SEPARATOR = "\x1e"


def clean_rows(rows: pl.DataFrame, steps: Sequence[str]) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the rows with their cleaned texts, and how many rows each step changed.

    Args:
        rows: ``text`` and perhaps ``text_b``; null counts as empty.
        steps: Cleaning steps in order.

    Returns:
        The rows with ``clean``, perhaps ``clean_b``, and ``key``: what makes two rows the same text.
    """
    changed = {step: pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True) for step in steps}
    cleaned = []
    for name in ("text", "text_b"):
        if name not in rows.columns:
            continue
        column = rows[name].fill_null("")
        for step in steps:
            after = pl.Series(clean_column(column.to_list(), (step,)), dtype=pl.String)
            changed[step] = changed[step] | (after != column)
            column = after
        cleaned.append(column.alias(name.replace("text", "clean")))
    rows = rows.with_columns(cleaned)
    key = pl.concat_str([column.name for column in cleaned], separator=PAIR_SEPARATOR).alias("key")
    return rows.with_columns(key), {step: int(mask.sum()) for step, mask in changed.items()}


def refusal_reasons(rows: pl.DataFrame) -> pl.Series:
    """Return the first reason in the order of ``REASONS`` to refuse each row, or null.

    Args:
        rows: ``id``, ``text``, ``clean``, ``raw_label``, ``label``, ``split``; for pairs ``text_b`` and ``clean_b``.
    """
    texts = [name for name in ("text", "text_b") if name in rows.columns]
    cleans = [name for name in ("clean", "clean_b") if name in rows.columns]
    labeled = pl.col("split") != "unlabeled"
    no_raw_label = pl.col("raw_label").is_null() | (pl.col("raw_label").str.strip_chars() == "")
    tests = {
        "missing id": pl.col("id").is_null() | (pl.col("id") == ""),
        "missing text": pl.any_horizontal(pl.col(texts).is_null()),
        "empty text": pl.any_horizontal(pl.col(texts).str.strip_chars() == ""),
        "NUL character in text": pl.any_horizontal(pl.col(texts).str.contains("\0", literal=True)),
        "empty after cleaning": pl.any_horizontal(pl.col(cleans).str.strip_chars() == ""),
        "missing label": labeled & pl.col("label").is_null() & no_raw_label,
        "unreadable label": labeled & pl.col("label").is_null() & ~no_raw_label,
    }
    reasons = [pl.when(tests[reason]).then(pl.lit(reason)) for reason in REASONS]
    return rows.select(pl.coalesce(reasons).alias("reason"))["reason"]


def check_share(rows: pl.DataFrame, max_rejected: float) -> None:
    """Say how many rows were refused, and why.

    Args:
        rows: All rows that were read, with their ``reason``.
        max_rejected: The largest share that is no error.

    Raises:
        DataError: More rows were refused, or all rows of a split.
    """
    rejected = rows.filter(pl.col("reason").is_not_null())
    if not rejected.height:
        return
    sentence = _counted(rejected, rows.height)
    if rejected.height > max_rejected * rows.height:
        raise _too_many(rejected, sentence)
    for (split,), part in rows.group_by(["split"], maintain_order=True):
        if part["reason"].null_count() == 0:
            raise _too_many(part, f"For {split}, {_counted(part, part.height)}")
    logger.warning("%s; they are in rejected.jsonl.", sentence)


def _counted(rejected: pl.DataFrame, num_rows: int) -> str:
    listed = ", ".join(f"{reason}: {count}" for reason, count in reason_counts(rejected).items())
    return f"{rejected.height} of {num_rows} rows were refused ({listed})"


def _too_many(rejected: pl.DataFrame, sentence: str) -> DataError:
    return DataError(
        f"{sentence}; the first is {place(rejected.row(0, named=True))}.",
        hint="Check the column names and the cleaning, or allow a larger share with --max-rejected.",
    )


def reason_counts(rejected: pl.DataFrame) -> dict[str, int]:
    """Return reason to number of refused rows, in the order of ``REASONS``."""
    counts = dict(rejected["reason"].value_counts().iter_rows())
    return {reason: counts[reason] for reason in REASONS if reason in counts}


def write_rejected(path: Path, rejected: pl.DataFrame) -> None:
    """Write refused rows as JSONL: file name, line, id, reason, label as read, start of the text.

    Args:
        path: Where to.
        rejected: The rows, with their ``reason``.
    """
    encoder = msgspec.json.Encoder()
    chosen = rejected.select(
        pl.col(FILE).alias("file"),
        pl.col(LINE).alias("line"),
        "id",
        "reason",
        pl.col("raw_label").alias("label"),
        pl.col("text").str.slice(0, START_LENGTH).alias("text"),
    )
    lines = [encoder.encode({**row, "file": PurePath(row["file"]).name}) for row in chosen.iter_rows(named=True)]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
