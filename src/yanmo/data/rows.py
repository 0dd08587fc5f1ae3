"""The rows of all given files, block by block, with the names a Dataset uses; it knows no cleaning and no task.

Columns: ``id``, those that the task reads, ``raw_label``, ``split``, and where the row stands: ``_file`` and
``_line``.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from yanmo.artifacts.identity import file_digest
from yanmo.counted import counted
from yanmo.data.containers import SHEETS
from yanmo.data.label_columns import holding_columns
from yanmo.data.read import FILE, LINE, ReadOptions, read_blocks
from yanmo.errors import DataError

__all__ = ["check_blocks", "check_ids", "file_parents", "number_rows", "place", "read_rows"]

logger = logging.getLogger(__name__)


def read_rows(
    files: Mapping[str, Sequence[Path]],
    options: ReadOptions,
    columns: Mapping[str, str],
    label_columns: Sequence[str] = (),
) -> Iterator[pl.DataFrame]:
    """Yield the rows of every split's files in blocks of a few megabytes, each of one split.

    Args:
        files: Split to files, in the order of numbering.
        options: How files are read.
        columns: Dataset column (those that the task reads, ``label``, perhaps ``id``) to the files' column.
        label_columns: Of 0 and 1, one a label, instead of one column of labels.

    Raises:
        DataError: A file cannot be read or lacks a column.
    """
    num_rows = 0
    for split, paths in files.items():
        wanted = {ours: theirs for ours, theirs in columns.items() if ours != "label" or split != "unlabeled"}
        counts: Counter[str] = Counter()
        holding = label_columns if split != "unlabeled" else ()
        for table in read_blocks(paths, options, [*wanted.values(), *holding]):
            if table.height:
                counts[table[FILE][0]] += table.height
                rows = _named(table, wanted, split, holding)
                yield rows if "id" in columns else number_rows(rows, num_rows)
                num_rows += rows.height
        for path in paths:
            logger.info("%s: %s", path, counted(counts[str(path)], "row"))


def _named(table: pl.DataFrame, wanted: Mapping[str, str], split: str, holding: Sequence[str]) -> pl.DataFrame:
    """Return a block with a Dataset's names."""
    chosen = [pl.col(theirs).alias(ours) for ours, theirs in wanted.items()]
    if holding:
        chosen.append(holding_columns(holding).alias("label"))
    table = table.select(*chosen, FILE, LINE, pl.lit(split).alias("split"))
    if "label" not in table.columns:
        table = table.with_columns(pl.lit(None, dtype=pl.String).alias("label"))
    inputs = [name for name in wanted if name not in ("id", "label")]
    order = ["id", *inputs, "label", "split", FILE, LINE]
    return table.select(name for name in order if name in table.columns).rename({"label": "raw_label"})


def number_rows(rows: pl.DataFrame, num_before: int) -> pl.DataFrame:
    """Return a block with the rows' numbers, from 1 over all blocks, as ids."""
    numbers = pl.int_range(num_before + 1, num_before + rows.height + 1, dtype=pl.Int64, eager=True)
    return rows.with_columns(numbers.cast(pl.String).alias("id"))


def check_ids(rows: pl.DataFrame) -> None:
    """Check that no id stands twice among accepted rows.

    Raises:
        DataError: One does; the message names both places.
    """
    repeated = rows.filter(pl.col("id").is_duplicated())
    if not repeated.height:
        return
    name = repeated["id"][0]
    pair = repeated.filter(pl.col("id") == name).head(2).to_dicts()
    raise DataError(
        f"The id '{name}' stands more than once: {place(pair[0])} and {place(pair[1])}.",
        hint="Ids must be unique over all files; without --id the rows are numbered.",
    )


def check_blocks(read: Callable[[], Iterable[pl.DataFrame]], *, has_ids: bool) -> int:
    """Read all blocks of rows for their mistakes; return the number of rows.

    Args:
        read: Yields blocks with the columns ``id``, ``_file`` and ``_line``; the same ones in every call.
        has_ids: The ids are the user's, so that no id may stand twice. This takes 16 bytes of memory a row, whatever
            the ids are: their hashes are compared, and blocks are read again only if two are equal.

    Raises:
        DataError: Reading fails, or an id stands twice; the message names both places.
    """
    hashes, num_rows = [np.zeros(0, dtype=np.uint64)], 0
    for rows in read():
        num_rows += rows.height
        if has_ids:
            hashes.append(rows["id"].hash().to_numpy())
    sorted_N = np.concatenate(hashes)
    sorted_N.sort()
    # Neighbours in the sorted array: hashes that stand twice, perhaps those of two ids. Only such rows are compared.
    suspects = pl.Series(np.unique(sorted_N[1:][sorted_N[1:] == sorted_N[:-1]]))
    if len(suspects):
        check_ids(pl.concat([rows.filter(pl.col("id").hash().is_in(suspects.implode())) for rows in read()]))
    return num_rows


def place(row: Mapping[str, object]) -> str:
    """Return where a row stands, for a message: file and line, or for Parquet, JSON lists and sheets the row number."""
    word = "row" if str(row[FILE]).lower().endswith((".parquet", ".json", *SHEETS)) else "line"
    return f"{row[FILE]} {word} {row[LINE]}"


def file_parents(files: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """Return role and file name to SHA-256 for every given file, such as ``train:reviews.csv``.

    Args:
        files: Role to files; a second file of the same role and name gets a number.
    """
    parents: dict[str, str] = {}
    for role, paths in files.items():
        for path in paths:
            name = f"{role}:{path.name}"
            # A folder is left out of the name: a manifest holds no path.
            same = sum(key == name or key.startswith(f"{name}#") for key in parents)
            parents[f"{name}#{same + 1}" if same else name] = file_digest(path)
    return parents
