"""Texts that are nearly the same, of all rows of a Dataset: found by signatures, compared exactly, put into groups.

In memory stand some dozens of bytes a row. Texts are looked at twice: once for their signatures, while the rows are
read, and once more where two signatures agree. It decides no split and knows no label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from pydantic import field_validator

from yanmo.arrays import IntArray, Ragged
from yanmo.config import Config
from yanmo.text.shingles import NUM_BANDS, band_hashes, jaccard, shingle, unique_shingles

__all__ = ["NearDuplicateOptions", "Signatures", "group_near_duplicates"]

LEAST_SIMILARITY = 0.5
TEXTS_AT_ONCE = 200_000
"""Texts whose n-grams are in memory together while pairs are compared: some 150 MB of them."""
PAIRS_AT_ONCE = 20_000


class NearDuplicateOptions(Config):
    """Whether texts that are nearly the same are looked for."""

    near_duplicates: float | Literal["off"] = "off"
    """How similar two texts are, as sets of their n-grams of 4 characters, to go to one split and to be counted, such
    as 0.85; width, traditional forms, case and white space make no difference. With off only equal texts do."""

    @field_validator("near_duplicates")
    @classmethod
    def _is_similarity(cls, value: float | str) -> float | str:
        # Below, nearly all that is written about one matter would be one text.
        if isinstance(value, float) and not LEAST_SIMILARITY <= value <= 1:
            raise ValueError(f"from {LEAST_SIMILARITY} to 1, or off")
        return value

    @property
    def least_similarity(self) -> float | None:
        """The same as a number; None where nobody looks."""
        return None if self.near_duplicates == "off" else self.near_duplicates


@dataclass(frozen=True)
class Signatures:
    """Signatures of rows, block by block in the order of the rows."""

    blocks: list[np.ndarray]

    def add(self, texts: pl.Series) -> None:
        """Take the texts of the next rows, which are not null."""
        self.blocks.append(band_hashes(shingle(texts.to_list())))

    def take(self, rows_D: IntArray) -> np.ndarray:
        """Return the signatures of some rows, shape (D, NUM_BANDS)."""
        bands = np.concatenate(self.blocks) if self.blocks else np.zeros((0, NUM_BANDS), dtype=np.uint32)
        self.blocks[:] = [bands]
        return bands[rows_D]


def group_near_duplicates(
    keys: pl.Series, signatures: Signatures, texts_of: Callable[[pl.Series], Iterator[pl.Series]], threshold: float
) -> pl.Series:
    """Return the group of each row: rows whose texts are equal or nearly so, or are linked by such, have one.

    Args:
        keys: Of N rows, UInt32, equal where the texts are.
        signatures: Of the rows.
        texts_of: Gives the texts of the rows at which a mask is true, in order, in pieces.
        threshold: Least similarity of two texts, as sets of their n-grams, 0 to 1.

    Returns:
        UInt32, shape (N,), named ``group``: the key of the group's first text.
    """
    # Equal texts are one: their first row stands for them.
    firsts = pl.DataFrame({"key": keys}).with_row_index("row").unique("key", keep="first", maintain_order=True)
    rows_D = firsts["row"].to_numpy().astype(np.int64)
    pairs = _candidates(signatures.take(rows_D))
    is_near = _compare(pairs, rows_D, len(keys), texts_of, threshold)
    roots_D = _linked(pairs[is_near], len(rows_D))
    groups = firsts.select("key", group=pl.Series(firsts["key"].to_numpy()[roots_D], dtype=pl.UInt32))
    return pl.DataFrame({"key": keys}).join(groups, on="key", how="left", maintain_order="left")["group"]


def _candidates(bands_DB: np.ndarray) -> IntArray:
    """Return the pairs of texts to compare, int64, shape (P, 2), the smaller number first, each once.

    Of texts that share a band, each is compared with the first of them and with the one before it: linear work where
    thousands are alike, and those that are alike are still linked.
    """
    found = []
    for number in range(bands_DB.shape[1]):
        band_D = bands_DB[:, number]
        # Stable, so that within a bucket texts stand in their order.
        order_D = np.argsort(band_D, kind="stable").astype(np.int64)
        same_D = np.concatenate(([False], band_D[order_D[1:]] == band_D[order_D[:-1]]))[: len(order_D)]
        places = np.flatnonzero(same_D)
        # Of each text in a bucket the place where the bucket begins: the last one that is not the same as before.
        begins_D = np.maximum.accumulate(np.where(same_D, 0, np.arange(len(same_D))))
        for others in (places - 1, begins_D[places]):
            found.append(np.stack([order_D[others], order_D[places]], axis=1))
    pairs = np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)
    return np.unique(pairs, axis=0) if len(pairs) else pairs


def _compare(
    pairs: IntArray,
    rows_D: IntArray,
    num_rows: int,
    texts_of: Callable[[pl.Series], Iterator[pl.Series]],
    threshold: float,
) -> np.ndarray:
    """Return which pairs are as similar as is asked, boolean, shape (P,)."""
    is_near = np.zeros(len(pairs), dtype=bool)
    start = 0
    while start < len(pairs):
        # A pair has two texts at most that others have not.
        stop = min(start + TEXTS_AT_ONCE // 2, len(pairs))
        part = pairs[start:stop]
        wanted = np.unique(part)
        mask = np.zeros(num_rows, dtype=bool)
        mask[rows_D[wanted]] = True
        sets = _sets(texts_of(pl.Series(mask)))
        # Rows of texts come in the order of rows, which is that of the distinct texts.
        left_P, right_P = (np.searchsorted(wanted, part[:, side]) for side in (0, 1))
        for place in range(0, len(part), PAIRS_AT_ONCE):
            some = slice(place, place + PAIRS_AT_ONCE)
            similar = jaccard(sets, left_P[some], right_P[some]) >= threshold
            is_near[start + place : start + place + len(similar)] = similar
        start = stop
    return is_near


def _sets(pieces: Iterator[pl.Series]) -> Ragged:
    sets = [unique_shingles(shingle(piece.to_list())) for piece in pieces if len(piece)]
    lengths = np.concatenate([one.lengths_N for one in sets])
    return Ragged(np.concatenate([one.values for one in sets]), np.concatenate([[0], np.cumsum(lengths)]))


def _linked(pairs: IntArray, num_texts: int) -> IntArray:
    """Return for each text the first one of those that it is linked with, shape (D,)."""
    roots = list(range(num_texts))

    def root_of(text: int) -> int:
        while roots[text] != text:
            # Halved on the way, so that the next search is shorter.
            roots[text] = roots[roots[text]]
            text = roots[text]
        return text

    for left, right in _as_lists(pairs):
        first, second = sorted((root_of(left), root_of(right)))
        roots[second] = first
    return np.asarray([root_of(text) for text in range(num_texts)], dtype=np.int64)


def _as_lists(pairs: IntArray) -> Sequence[list[int]]:
    found: list[list[int]] = pairs.tolist()
    return found
