"""Rows to train, valid and test: stratified, seeded, equal texts on one side; it knows no files and no models."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from yanmo.arrays import IntArray
from yanmo.data.labels import map_hint
from yanmo.data.rows import place
from yanmo.errors import DataError
from yanmo.tasks.labels import fold_label

__all__ = ["check_labels", "cut_folds", "cut_splits", "explode_labels", "leaks", "strata"]

logger = logging.getLogger(__name__)


def strata(label: pl.Series) -> pl.Series:
    """Return the class by which each row is stratified: its label, or the rarest of its labels.

    Args:
        label: Dataset labels of N rows, String or List(String).

    Source: the first choice of Sechidis, Tsoumakas, Vlahavas 2011, "On the Stratification of Multi-Label Data",
        section 3.2: rows of the rarest label are placed first.
    Differs: one pass, each row counts for its rarest label only.
    """
    if not isinstance(label.dtype, pl.List):
        return label.alias("stratum")
    rows = pl.DataFrame({"row": np.arange(len(label)), "label": label})
    pairs = (
        rows.filter(pl.col("label").list.len() > 0).explode("label").with_columns(pl.len().over("label").alias("count"))
    )
    rarest = (
        pairs.sort("count", "label").group_by("row", maintain_order=True).agg(pl.col("label").first().alias("stratum"))
    )
    return rows.join(rarest, on="row", how="left", maintain_order="left")["stratum"].fill_null("")


def cut_splits(rows: pl.DataFrame, ratios: Mapping[str, float], seed: int) -> pl.Series:
    """Return the split of every row, cutting the named splits from ``train``.

    The ratio counts distinct texts within each class. A class with at least one distinct text for every split has
    one in each; a smaller class stays in train.

    Args:
        rows: ``key`` (the cleaned text, or those that stay together), ``label``, ``split``, perhaps ``kinds``, which
            then count in place of the labels; only rows whose split is ``train`` may move.
        ratios: Split to its share of the distinct texts, each in (0, 1), together below 1.
        seed: Of the choice.

    Returns:
        Split names, shape (N,), equal for equal keys within what was cut.
    """
    if not ratios:
        return rows["split"]
    rows = _by_class(rows)
    table = rows.select("key", "label", "split").with_columns(strata(rows["label"]).alias("stratum"))
    # A text is one unit however many rows have it: it goes to one split with all of them.
    texts = table.filter(pl.col("split") == "train").group_by("key", maintain_order=True).agg(pl.col("stratum").first())
    texts = texts.with_columns(pl.Series("order", np.random.default_rng(seed).permutation(texts.height)))
    texts = texts.with_columns(
        # One random order of all texts; a text's rank in it within its class says which split it goes to.
        (pl.col("order").rank("ordinal").over("stratum") - 1).cast(pl.Int64).alias("rank"),
        pl.len().over("stratum").cast(pl.Int64).alias("size"),
    )
    texts = texts.with_columns(_assign(ratios).alias("cut"))
    _say_small_classes(texts, 1 + len(ratios))
    joined = table.join(texts.select("key", "cut"), on="key", how="left", maintain_order="left")
    moved = joined.with_columns(
        pl.when(pl.col("split") == "train").then(pl.col("cut")).otherwise(pl.col("split")).alias("split")
    )
    return _keep_labels_in_train(moved, list(ratios))


def cut_folds(keys: Sequence[str], label: pl.Series, num_folds: int, seed: int) -> IntArray:
    """Return the fold of every row, from 0: stratified, and rows of one text in one fold.

    Args:
        keys: What makes two rows the same text, N of them.
        label: Dataset labels of the rows, String or List(String).
        num_folds: K.
        seed: Of the choice.

    Returns:
        int64, shape (N,). A class with fewer than K distinct texts is missing in some folds.
    """
    rows = pl.DataFrame({"key": keys, "stratum": strata(label)})
    texts = rows.group_by("key", maintain_order=True).agg(pl.col("stratum").first())
    texts = texts.with_columns(pl.Series("order", np.random.default_rng(seed).permutation(texts.height)))
    texts = texts.sort("stratum", "order").with_row_index("place")
    # Dealt out like cards, from class to class: classes are spread evenly, and folds differ by one text at most.
    texts = texts.with_columns((pl.col("place") % num_folds).cast(pl.Int64).alias("fold"))
    joined = rows.join(texts.select("key", "fold"), on="key", how="left", maintain_order="left")
    return np.asarray(joined["fold"].to_numpy(), dtype=np.int64)


def _assign(ratios: Mapping[str, float]) -> pl.Expr:
    """Return the split of a text from its random ``rank`` within a class of ``size`` distinct texts."""
    split = pl.lit("train")
    size, taken = pl.col("size"), pl.lit(0)
    for num_left, (name, ratio) in enumerate(reversed(list(ratios.items()))):
        # Train and each split that is still to come must keep one text of the class.
        most = size - taken - (len(ratios) - num_left)
        count = (size * ratio).round().cast(pl.Int64).clip(1, None)
        count = pl.when(size > len(ratios)).then(pl.min_horizontal(count, most)).otherwise(0)
        is_here = (pl.col("rank") >= taken) & (pl.col("rank") < taken + count)
        split = pl.when(is_here).then(pl.lit(name)).otherwise(split)
        taken = taken + count
    return split


def _say_small_classes(texts: pl.DataFrame, num_splits: int) -> None:
    small = texts.filter(pl.col("size") < num_splits)["stratum"].unique().sort().to_list()
    if small == [""]:
        logger.warning("All texts are in train: fewer than %d distinct ones cannot be cut.", num_splits)
    elif small:
        logger.warning(
            "With fewer than %d distinct texts, and so in train alone: %s.",
            num_splits,
            ", ".join(one or "no label" for one in small[:10]) + (", …" if len(small) > 10 else ""),
        )


def _keep_labels_in_train(rows: pl.DataFrame, cut: Sequence[str]) -> pl.Series:
    """Move texts back to train whose label is nowhere in train."""
    # Texts only ever go back to train, so this ends.
    while True:
        known = _flat_labels(rows.filter(pl.col("split") == "train")).unique()
        is_cut = pl.col("split").is_in(list(cut))
        lost = explode_labels(rows.filter(is_cut)).filter(~pl.col("label").is_in(known.implode()))
        if not lost.height:
            return rows["split"]
        back = is_cut & pl.col("key").is_in(lost["key"].unique().implode())
        rows = rows.with_columns(pl.when(back).then(pl.lit("train")).otherwise(pl.col("split")).alias("split"))


def check_labels(rows: pl.DataFrame, *, least: int = 2) -> None:
    """Check that train has every label of valid and test, and that it has more than one class.

    Args:
        rows: ``label``, ``split``, ``_file``, ``_line``, perhaps ``kinds``.
        least: So many classes it must have; with fewer than 2 valid and test may have others.

    Raises:
        DataError: Train lacks labels, named with the place of their first row; or all rows of train have one label.
    """
    if least < 2:
        return
    train = rows.filter(pl.col("split") == "train")
    known = _flat_labels(train).unique().sort()
    # Where units have tags, rows with the same tags are none of one class: all units would be.
    if (len(known) if "kinds" in rows.columns else train["label"].n_unique()) < 2:
        only = f"the label '{known[0]}'" if len(known) else "no label"
        raise DataError(
            f"There is one class only: all {train.height} rows of train have {only}.",
            hint="Give rows of at least two classes, or name another --label column.",
        )
    rows = _by_class(rows)
    known = _flat_labels(rows.filter(pl.col("split") == "train")).unique().sort()
    judged = explode_labels(rows.filter(pl.col("split").is_in(["valid", "test"])))
    unknown = judged.filter(~pl.col("label").is_in(known.implode()))
    if unknown.height:
        raise _unknown_labels(unknown, known.to_list())


def _unknown_labels(unknown: pl.DataFrame, known: Sequence[str]) -> DataError:
    firsts = unknown.unique("label", keep="first", maintain_order=True)
    named = "; ".join(f"'{row['label']}' ({place(row)})" for row in firsts.head(5).iter_rows(named=True))
    more = f"; and {firsts.height - 5} more" if firsts.height > 5 else ""
    shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return DataError(
        f"Labels of valid or test that train lacks: {named}{more}.",
        hint=f"Train has: {shown}. Correct the label or add rows.{_meant_hint(firsts['label'].to_list(), known)}",
    )


def _meant_hint(labels: Sequence[str], known: Sequence[str]) -> str:
    """Return how to make a known label of the first one that looks like it, if there is one."""
    by_fold = {fold_label(label): label for label in known}
    alike = next((label for label in labels if fold_label(label) in by_fold), None)
    if alike is None:
        return ""
    meant = by_fold[fold_label(alike)]
    return f" If {alike!r} means {meant!r}: {map_hint([alike], meant)}"


def leaks(rows: pl.DataFrame, by: str = "key") -> dict[str, int]:
    """Return how many rows of valid and test have a text that stands in train, too.

    Args:
        rows: ``split`` and the column that says which texts are the same.
        by: That column: ``key``, or ``group`` where nearly equal texts count.
    """
    train = rows.filter(pl.col("split") == "train").select(by).unique()
    found: dict[str, Any] = {}
    for split in ("valid", "test"):
        part = rows.filter(pl.col("split") == split)
        if part.height:
            found[split] = part.join(train, on=by, how="semi").height
    return found


def explode_labels(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row a label."""
    if isinstance(rows.schema["label"], pl.List):
        # Another list of every row would be copied for every one of its labels.
        return rows.drop("kinds", strict=False).filter(pl.col("label").list.len() > 0).explode("label")
    return rows


def _flat_labels(rows: pl.DataFrame) -> pl.Series:
    column = rows["label"]
    return (column.explode() if isinstance(column.dtype, pl.List) else column).drop_nulls()


def _by_class(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose labels are what splits balance: where parts of texts are labeled, the kinds of their spans."""
    return (
        rows.with_columns(pl.col("kinds").list.unique(maintain_order=True).alias("label"))
        if "kinds" in rows.columns
        else rows
    )
