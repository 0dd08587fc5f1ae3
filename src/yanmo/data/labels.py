"""The labels of rows as a Dataset has them: tidied, mapped, named; what cannot be read is refused and says why.

It knows no file format. How a cell becomes labels is the task's.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from yanmo.counted import counted
from yanmo.data.multi_hot import MultiHotReader
from yanmo.data.read import FILE, LINE
from yanmo.data.rows import place
from yanmo.data.written_values import lists_as_json, shortened
from yanmo.errors import DataError, did_you_mean
from yanmo.protocols import Task
from yanmo.tasks.labels import fold_label, tidy_label

__all__ = ["PROBLEM", "UNNAMED", "LabelReader", "map_hint", "say_similar", "similar_labels"]

logger = logging.getLogger(__name__)

PROBLEM = "label_problem"
"""Column with the reason for which a label is refused."""
SHORTENED = "is_shortened"
SHOWN = 5
UNNAMED = "\0"
"""Begins what stands for a label without a name until it is refused; no label has it."""


class LabelReader:
    """Reads labels block by block; it remembers which of the given pairs have been met.

    Args:
        task: Reads the cells.
        separator: Of several labels in a cell.
        label_map: Labels to those that they become.
        label_names: Labels, after that, to their names; where there are any, every label has one.
    """

    def __init__(
        self,
        task: Task[Any],
        *,
        separator: str,
        label_map: Sequence[tuple[str, str]] = (),
        label_names: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.task = task
        self._separator = separator
        self._map = dict(label_map)
        self._names = dict(label_names)
        self._multi_hot = MultiHotReader(len(self._names), separator)
        self._unmet = {"--label-map": set(self._map), "--label-names": set(self._names)}

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return a block of rows with ``label``, null where it is refused, and the reason for that.

        Args:
            rows: ``raw_label``, and where each row stands.

        Raises:
            DataError: A label has no name, or a list is multi-hot and its places have none.
        """
        rows = rows.with_columns(lists_as_json(rows["raw_label"].cast(pl.String)))
        if self.task.frame_type() == pl.List(pl.String):
            rows = self._multi_hot.read(rows)
        is_short = shortened(rows["raw_label"]).alias(SHORTENED)
        label = self.task.parse_labels(rows["raw_label"].set(is_short, None), self._separator)
        rows = rows.with_columns(label.alias("label"), is_short)
        is_list = _is_list(rows)
        meant = {label: self.meant(label) for label in _flat(rows["label"]).unique()}
        one = pl.element() if is_list else pl.col("label")
        named = one.replace_strict(list(meant), [name or "" for name in meant.values()], return_dtype=pl.String)
        is_control = one.is_in([label for label, name in meant.items() if name is None])
        if is_list:
            # A label that lost all it had is none, and two that are one by now are given once.
            named = pl.col("label").list.eval(named.filter(named != "").unique(maintain_order=True))
            is_control = pl.col("label").list.eval(is_control.any()).list.first()
        else:
            named = pl.when(named != "").then(named)
        rows = rows.with_columns(
            label=pl.when(~is_control).then(named), **{PROBLEM: _problem(named, is_control, is_list=is_list)}
        )
        self._check_named(rows)
        return rows.drop(SHORTENED)

    def order(self, labels: Sequence[str]) -> list[str]:
        """Return a Dataset's labels in the order of their names, if they have any; say which pairs were not met."""
        self.say_unmet()
        return [name for name in self._names.values() if name in set(labels)] if self._names else list(labels)

    def take_numbered(self) -> Mapping[str, str]:
        """Return the names of labels that are all numbers, which are not asked for any more; else none."""
        if not all(label.isdecimal() for label in self._names):
            return {}
        taken, self._names = self._names, {}
        self._unmet["--label-names"] = set()
        return taken

    def say_unmet(self) -> None:
        """Say which of the given pairs were not met."""
        for flag, unmet in self._unmet.items():
            if unmet:
                logger.warning("%s has labels that no row has: %s.", flag, _listed(sorted(unmet)))

    def meant(self, label: str) -> str | None:
        """Return what a label becomes, None where it has a control character; one without a name begins with NUL."""
        tidy = tidy_label(label)
        if not tidy:
            return tidy
        self._unmet["--label-map"].discard(tidy)
        tidy = self._map.get(tidy, tidy)
        self._unmet["--label-names"].discard(tidy)
        return self._names.get(tidy, UNNAMED + tidy if self._names else tidy)

    def _check_named(self, rows: pl.DataFrame) -> None:
        """Refuse a label without a name, where labels have names.

        Raises:
            DataError: There is one; the message says where.
        """
        if not self._names:
            return
        flat = rows.select("label", FILE, LINE).explode("label") if _is_list(rows) else rows
        unnamed = flat.filter(pl.col("label").str.starts_with(UNNAMED))
        if unnamed.height:
            row = unnamed.row(0, named=True)
            raise self.unnamed(row["label"], row)

    def unnamed(self, meant: str, row: Mapping[str, Any]) -> DataError:
        """Return the error for a label without a name.

        Args:
            meant: From :meth:`meant`.
            row: Where it stands.
        """
        label = meant.removeprefix(UNNAMED)
        return DataError(
            f"The label {label!r} ({place(row)}) has no name in 'label_names'.{did_you_mean(label, self._names)}",
            hint="Name every label, or take it to another one with --label-map.",
        )


def _problem(label: pl.Expr, is_control: pl.Expr, *, is_list: bool) -> pl.Expr:
    is_blank = pl.col("raw_label").is_null() | (pl.col("raw_label").str.strip_chars() == "")
    return (
        pl.when(is_control)
        .then(pl.lit("control character in label"))
        .when(SHORTENED)
        .then(pl.lit("shortened list of labels"))
        # A cell that was read and is nothing now held invisible characters alone.
        .when(label.is_null() & (is_blank | pl.col("label").is_not_null()))
        .then(pl.lit("missing label"))
        .when(label.is_null() & pl.col("raw_label").str.contains(r"^\s*\[") & (not is_list))
        .then(pl.lit("list of labels"))
        .when(label.is_null())
        .then(pl.lit("unreadable label"))
    )


def _is_list(rows: pl.DataFrame) -> bool:
    return isinstance(rows.schema["label"], pl.List)


def _flat(column: pl.Series) -> pl.Series:
    flat = column.explode() if isinstance(column.dtype, pl.List) else column
    return flat.drop_nulls()


def similar_labels(counts: Mapping[str, int]) -> list[dict[str, int]]:
    """Return groups of labels that look alike or are one number, each label with its count, the most frequent first.

    Args:
        counts: Label to number of rows.
    """
    groups: dict[str, dict[str, int]] = {}
    for label, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        groups.setdefault(fold_label(label), {})[label] = count
    return [group for group in groups.values() if len(group) > 1]


def say_similar(groups: Sequence[Mapping[str, int]]) -> None:
    """Say which labels look alike, how many rows have them, and how to make one of them."""
    for group in groups[:SHOWN]:
        listed = ", ".join(f"{label!r} ({counted(count, 'row')})" for label, count in group.items())
        first, *others = group
        logger.warning("Labels look alike: %s. If they mean the same: %s", listed, map_hint(others, first))
    if len(groups) > SHOWN:
        logger.warning("%d more groups of labels look alike; profile.json lists them.", len(groups) - SHOWN)


def map_hint(labels: Sequence[str], target: str) -> str:
    """Return the key that makes one label of several."""
    if any(sign in label for label in (*labels, target) for sign in "=,"):
        return "--label-map FILE, a JSON object or a CSV of two columns"
    return f"--label-map {shlex.quote(','.join(f'{label}={target}' for label in labels))}"


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(map(repr, labels[:SHOWN])) + (", …" if len(labels) > SHOWN else "")
