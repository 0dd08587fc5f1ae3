"""Texts with the texts that are to be written for them: tables in which a row has one reference or several; no label.

References stand in a cell as a text, as a list of texts, between separators, or in several columns. A row's ``label``
is 1, whatever they are.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from yanmo.answers.text_truth import TARGETS
from yanmo.counted import counted
from yanmo.data.gather import TARGET_LENGTH
from yanmo.data.labels import PROBLEM
from yanmo.data.read import FILE, LINE, ReadOptions, read_blocks
from yanmo.data.refuse import NO_TARGET, NUL_TARGET, UNREADABLE_TARGETS
from yanmo.data.rows import number_rows
from yanmo.data.written_values import read_value
from yanmo.errors import ConfigError
from yanmo.protocols import Task
from yanmo.tasks import TASKS
from yanmo.text.clean import clean_column

__all__ = ["TargetOptions", "TargetReader", "check_target_keys"]

logger = logging.getLogger(__name__)

OF_TARGETS = ("target", "target_separator", "clean_targets", "prefix", "target_language", "glossary")
OF_LABELS = ("text_b", "label", "label_columns", "label_map", "label_names", "label_separator", "user_dict")


class TargetOptions(ReadOptions):
    """Where the texts stand that are to be written, and what is put before those that they are written for."""

    target: tuple[str, ...] = ("target",)
    """For text_to_text: column of the text that is to be written, or columns, of which each holds another text that
    counts as right, such as target,target2; the first one is learned. A cell may hold a list of texts."""

    target_separator: str | None = Field(default=None, min_length=1)
    """For text_to_text: what stands between several texts that count as right in one cell."""

    clean_targets: bool = False
    """For text_to_text: whether the texts that are to be written are cleaned as the others are; else they stay as they
    are, so that what a model writes has their full-width marks and capital letters."""

    prefix: str = ""
    """For text_to_text: what is put before every text that a model reads, such as 'translate English to Chinese: '."""

    target_language: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """For text_to_text: language of the texts that are to be written; its tag, such as <2zh>, is put before every text
    that a model reads."""

    glossary: Path | None = None
    """For text_to_text: phrases that are always written in one way: a .tsv of two columns without a header, the phrase
    in the text and that in what is written. It travels with every model; joint n-grams do not write by it."""


class TargetReader:
    """Reads texts with their references block by block.

    Args:
        task: Whose rows they are.
        files: Split to files.
        options: How files are read, and where the references stand.
        text: Column of the texts.
        id: Column of the ids, None where rows are numbered.
        cleaning: Steps that references are cleaned by before they are learned.
    """

    def __init__(
        self,
        task: Task[Any],
        files: Mapping[str, Sequence[Path]],
        options: TargetOptions,
        *,
        text: str,
        id: str | None,  # noqa: A002 - the key's name
        cleaning: Sequence[str] = (),
    ) -> None:
        self.task = task
        self._cleaning = cleaning
        self._files, self._options = files, options
        self._columns = {"text": text, **({"id": id} if id else {})}

    def rows(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of all splits in blocks, each of one file.

        Raises:
            DataError: A file cannot be read or lacks a column.
        """
        num_rows = 0
        for split, paths in self._files.items():
            targets = () if split == "unlabeled" else self._options.target
            for path in paths:
                before = num_rows
                for table in read_blocks([path], self._options, [*self._columns.values(), *targets]):
                    rows = self._named(table, targets).with_columns(pl.lit(split).alias("split"))
                    yield rows if "id" in rows.columns else number_rows(rows, num_rows)
                    num_rows += rows.height
                logger.info("%s: %s", path, counted(num_rows - before, "row"))

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows as they are: their references have been read."""
        return rows

    def order(self, labels: Sequence[str]) -> list[str]:
        """Return the labels, of which there are none."""
        return list(labels)

    def _named(self, table: pl.DataFrame, targets: Sequence[str]) -> pl.DataFrame:
        """Return a block with a Dataset's names."""
        cells = zip(*(table[name].to_list() for name in targets), strict=True) if targets else [()] * table.height
        found = [_references(row, self._options.target_separator) for row in cells]
        if self._cleaning:
            found = _without_emptied(found, self._cleaning)
        references = [one for one, _ in found]
        learned = pl.Series([len(one[0]) if one else 0 for one in references], dtype=pl.Int64)
        return table.select(
            *(pl.col(theirs).alias(ours) for ours, theirs in self._columns.items()),
            pl.Series("targets", references, dtype=TARGETS),
            pl.lit(None if not targets else 1, dtype=pl.Int64).alias("label"),
            learned.alias(TARGET_LENGTH),
            pl.Series("raw_label", [" | ".join(one) for one in references], dtype=pl.String),
            pl.Series(PROBLEM, [problem for _, problem in found], dtype=pl.String),
            FILE,
            LINE,
        )


def _references(cells: Sequence[str | None], separator: str | None) -> tuple[list[str], str | None]:
    """Return the distinct texts of some cells, and why the row is refused, if it is."""
    found: list[str] = []
    for cell in cells:
        texts = _texts_of(cell or "", separator)
        if texts is None:
            return [], UNREADABLE_TARGETS
        found += [text for one in texts if (text := one.strip())]
    if any("\0" in one for one in found):
        return [], NUL_TARGET
    return list(dict.fromkeys(found)), None if found else NO_TARGET


def _without_emptied(
    found: Sequence[tuple[list[str], str | None]], steps: Sequence[str]
) -> list[tuple[list[str], str | None]]:
    """Return what was found without the references of which the cleaning leaves nothing."""
    cleaned = iter(clean_column([text for texts, _ in found for text in texts], steps))
    kept = [([text for text in texts if next(cleaned).strip()], problem) for texts, problem in found]
    return [(texts, problem or (None if texts else NO_TARGET)) for texts, problem in kept]


def _texts_of(cell: str, separator: str | None) -> list[str] | None:
    """Return the texts of a cell; None where it is a list of something else."""
    if cell.lstrip().startswith("["):
        # Untyped, for a type is held against what comes before the place at which a text turns out to be no JSON.
        try:
            found = read_value(cell)
        except ValueError:  # a text that begins with a bracket
            pass
        else:
            return found if all(isinstance(one, str) for one in found) else None
    return cell.split(separator) if separator else [cell]


def check_target_keys(task: Task[Any], given: Collection[str]) -> None:
    """Refuse keys that have no meaning for a task.

    Args:
        task: Whatever it is.
        given: The names of all keys that have not their defaults.

    Raises:
        ConfigError: There is one.
    """
    writes = task.head == "targets"
    odd = next((name for name in (OF_LABELS if writes else OF_TARGETS) if name in given), None)
    if odd is None:
        return
    writing = " or ".join(name for name, one in TASKS.items() if one.head == "targets")
    raise ConfigError(
        f"The task {task.name} does not use the '{odd}' parameter.",
        hint="Texts that are to be written stand in the column that --target names."
        if writes
        else f"Use --task {writing}, or leave it out.",
    )
