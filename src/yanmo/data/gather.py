"""All rows of a Dataset, read once: what every later decision needs of them in memory, their texts on disk.

It knows no file format and decides no split. In memory a row takes some dozens of bytes, however long its text is: two
texts are known to be the same by 128 bits of hash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import polars as pl

from yanmo.data.near_duplicates import Signatures, group_near_duplicates
from yanmo.data.read import FILE, LINE
from yanmo.data.refuse import (
    PAIR_SEPARATOR,
    Refusals,
    clean_rows,
    cleaned_name,
    refusal_reasons,
    write_rejected,
)
from yanmo.data.rows import check_ids
from yanmo.data.spill import Spill
from yanmo.protocols import Task
from yanmo.text.units import count_letters

__all__ = ["TARGET_LENGTH", "Gathered", "ReadsLabels", "gather_rows"]

REPLACEMENT = "\ufffd"
HASHES = ("hash_1", "hash_2")
ID_HASH = "id_hash"
TARGET_LENGTH = "target_length"
"""Column of the characters of the text that is to be written, where one is."""


class ReadsLabels(Protocol):
    """What reads the labels of a block of rows."""

    @property
    def task(self) -> Task[Any]:
        """Says which columns are texts."""
        ...

    def read(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with ``label`` and the reason for which it is refused."""
        ...

    def order(self, labels: Sequence[str]) -> list[str]:
        """Return a Dataset's labels in their order."""
        ...


@dataclass(frozen=True)
class Gathered:
    """The accepted rows, and what is known about all of them.

    Attributes:
        rows: ``key`` (UInt32, equal where the cleaned texts are, those of the task's group), ``label``, ``split``,
            ``length`` (characters of the cleaned text, of pairs both together), ``num_characters`` (of the raw text),
            ``_file``, ``_line``; ``group`` (UInt32, the same for texts that go to one split). Where parts of the texts
            are labeled also ``kinds``, one a span; where texts are written for others ``target_length``.
        refusals: Those that were refused.
        changed_rows: Cleaning step to the number of rows that it changed, refused ones included.
        cjk_share: Of the cleaned texts' letters, 0 to 1.
        num_damaged: Texts with the mark of an earlier wrong decoding.
    """

    rows: pl.DataFrame
    refusals: Refusals
    changed_rows: dict[str, int]
    cjk_share: float
    num_damaged: int


def gather_rows(
    blocks: Iterable[pl.DataFrame],
    labels: ReadsLabels,
    cleaning: Sequence[str],
    *,
    spill: Spill,
    rejected: Path,
    max_rejected: float,
    has_ids: bool,
    near: float | None = None,
) -> Gathered:
    """Read all rows, refuse those that cannot be used, and let the texts of the others wait on disk.

    Args:
        blocks: Of :func:`yanmo.data.rows.read_rows`.
        labels: Reads the labels.
        cleaning: Steps in order.
        spill: Gets ``id`` and the columns that the task reads, and its truth's, of the accepted rows.
        rejected: File that gets the refused ones.
        max_rejected: The largest share of them that is no error.
        has_ids: The ids are the user's, so that no id may stand twice.
        near: How similar texts are that have one group; None where only equal ones do.

    Raises:
        DataError: A file cannot be read, too many rows are refused, or an id stands twice; or a label has no name.
    """
    task, inputs = labels.task, labels.task.inputs
    counts, refusals, changed_rows = Counter[str](), Refusals(), dict.fromkeys(cleaning, 0)
    signatures = Signatures([])

    def accepted(file: BinaryIO) -> Iterator[pl.DataFrame]:
        for raw in blocks:
            rows, changed = clean_rows(raw, cleaning, inputs)
            # Labels are read first: one that cannot be read is a reason to refuse its row.
            rows = labels.read(rows)
            rows = rows.with_columns(refusal_reasons(rows, inputs))
            refusals.add(rows, raw["split"][0])
            write_rejected(file, rows.filter(pl.col("reason").is_not_null()), inputs[0])
            rows = rows.filter(pl.col("reason").is_null())
            for step, number in changed.items():
                changed_rows[step] += number
            _count(rows, counts, inputs)
            spill.write(rows.select("id", *inputs, *task.truth_columns))
            if near is not None:
                signatures.add(rows.select(_group_text(task)).to_series())
            yield _slim(rows, task, has_ids=has_ids)

    with rejected.open("wb") as file:
        rows = pl.concat(list(accepted(file)), rechunk=True)
    refusals.check_share(max_rejected)
    if has_ids:
        _check_ids(rows, spill)
    share = counts["cjk"] / counts["letters"] if counts["letters"] else 0.0
    rows = _with_keys(rows).drop(ID_HASH, strict=False).with_columns(group="key")
    if near is not None:
        texts_of = _texts_of(spill, cleaning, task)
        rows = rows.with_columns(group_near_duplicates(rows["key"], signatures, texts_of, near))
    return Gathered(rows, refusals, changed_rows, share, counts["damaged"])


def _texts_of(spill: Spill, cleaning: Sequence[str], task: Task[Any]) -> Callable[[pl.Series], Iterator[pl.Series]]:
    """Return what gives the texts at which a mask is true, as they were while they were read."""

    def read(mask: pl.Series) -> Iterator[pl.Series]:
        for part in spill.take(mask):
            yield clean_rows(part, cleaning, task.inputs)[0].select(_group_text(task)).to_series()

    return read


def _group_text(task: Task[Any]) -> pl.Expr:
    """Return the cleaned text by which rows are the same."""
    return pl.concat_str([cleaned_name(name) for name in task.group], separator=PAIR_SEPARATOR)


def _count(rows: pl.DataFrame, counts: Counter[str], inputs: Sequence[str]) -> None:
    """Add up what is known of the texts of accepted rows."""
    for name in inputs:
        num_cjk, num_letters = count_letters(rows[cleaned_name(name)].to_list())
        counts.update({"cjk": num_cjk, "letters": num_letters})
    counts["damaged"] += rows.filter(pl.col(inputs[0]).str.contains(REPLACEMENT, literal=True)).height


def _slim(rows: pl.DataFrame, task: Task[Any], *, has_ids: bool) -> pl.DataFrame:
    """Return what stays in memory of accepted rows."""
    cleans = [cleaned_name(name) for name in task.inputs]
    group = _group_text(task)
    return rows.select(
        # polars promises equal hashes within one version only, so they are compared here and never written.
        *(group.hash(seed).alias(name) for seed, name in enumerate(HASHES)),
        *([pl.col("id").hash().alias(ID_HASH)] if has_ids else []),
        "label",
        "split",
        pl.sum_horizontal(pl.col(cleans).str.len_chars()).alias("length"),
        pl.col(task.inputs[0]).str.len_chars().alias("num_characters"),
        # A path is stored once and not once a row.
        pl.col(FILE).cast(pl.Categorical),
        LINE,
        *(name for name in ("kinds", TARGET_LENGTH) if name in rows.columns),
    )


def _with_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with a ``key`` in place of the hashes."""
    # Numbered in order of first sight, so that keys, and what is cut by them, do not depend on the hashes' values.
    texts = rows.select(HASHES).unique(maintain_order=True).with_row_index("key")
    return rows.join(texts, on=HASHES, how="left", maintain_order="left").drop(HASHES)


def _check_ids(rows: pl.DataFrame, spill: Spill) -> None:
    """Refuse an id that stands twice; only ids whose hashes are equal are looked at.

    Raises:
        DataError: An id stands twice; the message names both places.
    """
    is_suspect = rows[ID_HASH].is_duplicated()
    if is_suspect.any():
        ids = pl.concat([part.select("id") for part in spill.take(is_suspect)])
        check_ids(pl.concat([ids, rows.filter(is_suspect).select(FILE, LINE)], how="horizontal"))
