"""The cleaning of all rows, and which rows a Dataset refuses, and why; it knows no raw files and no task.

A refused row is never lost without a word: it goes to ``rejected.jsonl`` with its file, line, reason and the start of
its text, and is counted by reason.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, BinaryIO

import msgspec
import polars as pl

from yanmo.data.read import FILE, LINE
from yanmo.data.rows import place
from yanmo.data.tagged.laying import SPAN_REASONS
from yanmo.data.tagged.tree_checks import TREE_REASONS
from yanmo.errors import DataError
from yanmo.text.clean import clean_column

__all__ = [
    "NOWHERE",
    "NO_TARGET",
    "NUL_TARGET",
    "PAIR_SEPARATOR",
    "REASONS",
    "UNREADABLE",
    "UNREADABLE_TARGETS",
    "Refusals",
    "clean_rows",
    "cleaned_name",
    "refusal_reasons",
    "write_rejected",
]

logger = logging.getLogger(__name__)

NOWHERE, UNREADABLE = "answer stands nowhere in the passage", "unreadable answers"
ANSWER_REASONS = (NOWHERE, UNREADABLE)
NO_TARGET, NUL_TARGET, UNREADABLE_TARGETS = "empty target", "NUL character in target", "unreadable targets"
TARGET_REASONS = (NO_TARGET, NUL_TARGET, UNREADABLE_TARGETS)
LABEL_REASONS = (
    *("missing label", "control character in label", "shortened list of labels", "list of labels", "unreadable label"),
    *SPAN_REASONS,
    *TREE_REASONS,
    *ANSWER_REASONS,
    *TARGET_REASONS,
)
REASONS = (
    "missing id",
    "missing text",
    "empty text",
    "NUL character in text",
    "empty after cleaning",
    *LABEL_REASONS,
)
HINTS = {
    "shortened list of labels": "numpy leaves out the middle of a long array; write its tolist().",
    "list of labels": "For several labels a text: --task multi_label.",
    "nested spans": "One layer of spans can be learned; --label-map KIND=O leaves a kind out.",
    "span cuts a unit": "Where spans end within words: --units characters.",
    UNREADABLE_TARGETS: "A cell that begins with [ is a list of texts.",
    "word is not one unit": "Where every word has a tag: --units words, or characters.",
}
"""What a reason may say about the call itself."""
START_LENGTH = 80
PAIR_SEPARATOR = "\x1e"
"""No cleaning step leaves it in a text, so two pairs have one key only where both texts are equal."""


def cleaned_name(name: str) -> str:
    """Return what the cleaned texts of a column are called."""
    return f"clean_{name}"


def clean_rows(rows: pl.DataFrame, steps: Sequence[str], inputs: Sequence[str]) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the rows with their cleaned texts, and how many rows each step changed.

    Args:
        rows: The columns that the task reads; null counts as empty.
        steps: Cleaning steps in order.
        inputs: The names of these columns.

    Returns:
        The rows with the cleaned texts, named by :func:`cleaned_name`.
    """
    changed = {step: pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True) for step in steps}
    cleaned = []
    for name in inputs:
        column = rows[name].fill_null("")
        # One step at a time, for each is held against what it was given.
        for step in steps:
            after = pl.Series(clean_column(column.to_list(), (step,)), dtype=pl.String)
            changed[step] = changed[step] | (after != column)
            column = after
        cleaned.append(column.alias(cleaned_name(name)))
    return rows.with_columns(cleaned), {step: int(mask.sum()) for step, mask in changed.items()}


def refusal_reasons(rows: pl.DataFrame, inputs: Sequence[str]) -> pl.Series:
    """Return the first reason in the order of ``REASONS`` to refuse each row, or null.

    Args:
        rows: ``id``, the texts, their cleaned ones, ``label_problem``, ``split``.
        inputs: The names of the columns of texts.
    """
    texts, cleans = list(inputs), [cleaned_name(name) for name in inputs]
    labeled = pl.col("split") != "unlabeled"
    tests = {
        "missing id": pl.col("id").is_null() | (pl.col("id") == ""),
        "missing text": pl.any_horizontal(pl.col(texts).is_null()),
        "empty text": pl.any_horizontal(pl.col(texts).str.strip_chars() == ""),
        "NUL character in text": pl.any_horizontal(pl.col(texts).str.contains("\0", literal=True)),
        "empty after cleaning": pl.any_horizontal(pl.col(cleans).str.strip_chars() == ""),
        **{reason: labeled & (pl.col("label_problem") == reason) for reason in LABEL_REASONS},
    }
    # A row may fail several tests; coalesce takes the first in the order of REASONS.
    reasons = [pl.when(tests[reason]).then(pl.lit(reason)) for reason in REASONS]
    return rows.select(pl.coalesce(reasons).alias("reason"))["reason"]


class Refusals:
    """How many rows were refused, of which split and why, and where the first ones stand."""

    def __init__(self) -> None:
        self._num_rows: Counter[str] = Counter()
        self._reasons: dict[str, Counter[str]] = {}
        self._firsts: dict[str, dict[str, Any]] = {}

    def add(self, rows: pl.DataFrame, split: str) -> None:
        """Count a block of a split's rows, refused ones with their ``reason`` and the others with null."""
        self._num_rows[split] += rows.height
        rejected = rows.filter(pl.col("reason").is_not_null())
        if rejected.height:
            self._firsts.setdefault(split, rejected.select(FILE, LINE).row(0, named=True))
            counts = self._reasons.setdefault(split, Counter())
            counts.update(dict(rejected["reason"].value_counts().iter_rows()))

    def counts(self) -> dict[str, int]:
        """Return reason to number of refused rows, in the order of ``REASONS``."""
        return _in_order(sum(self._reasons.values(), Counter()))

    def check_share(self, max_rejected: float) -> None:
        """Say how many rows were refused, and why.

        Args:
            max_rejected: The largest share that is no error.

        Raises:
            DataError: More rows were refused, or all rows of a split.
        """
        if not self._reasons:
            return
        num_rows, counts = self._num_rows.total(), self.counts()
        sentence, hints = _counted(counts, num_rows), [HINTS[reason] for reason in counts if reason in HINTS]
        if sum(counts.values()) > max_rejected * num_rows:
            raise _too_many(next(iter(self._firsts.values())), sentence, hints)
        for split, reasons in self._reasons.items():
            if reasons.total() == self._num_rows[split]:
                counted = _counted(_in_order(reasons), reasons.total())
                raise _too_many(self._firsts[split], f"For {split}, {counted}", hints)
        logger.warning("%s", " ".join([f"{sentence}; they are in rejected.jsonl.", *hints]))


def _in_order(counts: Counter[str]) -> dict[str, int]:
    return {reason: counts[reason] for reason in REASONS if reason in counts}


def _counted(counts: dict[str, int], num_rows: int) -> str:
    listed = ", ".join(f"{reason}: {count}" for reason, count in counts.items())
    return f"{sum(counts.values())} of {num_rows} rows were refused ({listed})"


def _too_many(first: dict[str, Any], sentence: str, hints: Sequence[str]) -> DataError:
    usual = "Check the column names and the cleaning, or allow a larger share with --max-rejected."
    return DataError(f"{sentence}; the first is {place(first)}.", hint=" ".join([*hints, usual]))


def write_rejected(file: BinaryIO, rejected: pl.DataFrame, text: str) -> None:
    """Append refused rows as JSONL: file name, line, id, reason, label as read, start of the text.

    Args:
        file: Where to.
        rejected: The rows, with their ``reason``.
        text: The column whose beginning is shown.
    """
    encoder = msgspec.json.Encoder()
    chosen = rejected.select(
        pl.col(FILE).alias("file"),
        pl.col(LINE).alias("line"),
        "id",
        "reason",
        pl.col("raw_label").alias("label"),
        pl.col(text).str.slice(0, START_LENGTH).alias("text"),
    )
    lines = [encoder.encode({**row, "file": PurePath(row["file"]).name}) for row in chosen.iter_rows(named=True)]
    file.writelines(line + b"\n" for line in lines)
