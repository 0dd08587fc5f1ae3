"""Rows of a corpus of which spans are cut out, to be written by a network; it knows no network and no loss.

All of it is a function of the seed, of the epoch and of the row. Where spans are cut out of a row a mark stands for
each; what is written are the marks, each with its span behind it, and one more mark at the end.

Source: Raffel et al. 2020, arXiv:1910.10683, section 3.1.4 and figure 2 (15 % of the tokens, spans of 3 in the mean).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray, Ragged
from yanmo.modeling.features.corpus import CorpusRows
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.language.pairs import PairRows
from yanmo.text.pair_tokens import PairMarks

__all__ = ["CutOutRows", "choose_spans", "cut_spans"]

MEAN_SPAN = 3.0


@dataclass(frozen=True)
class CutOutRows:
    """Rows as the training loop reads them.

    Attributes:
        rows: Rows that end with the mark of an end.
        share: Of the tokens that are cut out, in (0, 1).
        sentinels: The marks that stand for spans, in the order in which they are used.
        marks: The tokens around both sides.
        key: Decides which spans.
    """

    rows: CorpusRows
    share: float
    sentinels: Sequence[int]
    marks: PairMarks
    key: tuple[int, ...]
    is_padded: bool = True
    output_ends: None = None

    @functools.cached_property
    def lengths_N(self) -> IntArray:
        """Tokens of each row; both sides together have a few more."""
        return self.rows.lengths_N

    def pairs(self, rows_B: IntArray) -> PairRows:
        """Return what is read and what is to be written of some rows."""
        tokens = self.rows.take(rows_B)
        parts = np.split(tokens.ids, np.cumsum(tokens.lengths_B)[:-1])
        found = [
            # The mark of the end is cut off and put back on both sides.
            cut_spans(part[:-1], self._spans(len(part) - 1, int(row)), self.sentinels, self.marks.behind)
            for part, row in zip(parts, self.rows.chosen_N[rows_B].tolist(), strict=True)
        ]
        sources, targets = (_ragged([one[side] for one in found]) for side in (0, 1))
        return PairRows(sources, targets, self.marks.pad_id, self.marks.begin_id)

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return what :class:`~yanmo.modeling.language.pairs.PairRows` does."""
        return self.pairs(rows_B).collate(np.arange(len(rows_B)))

    def count_written(self, rows_B: IntArray) -> int:
        """Return how many tokens are to be written of some rows."""
        return int(self.pairs(rows_B).targets.lengths_N.sum())

    def _spans(self, length: int, row: int) -> npt.NDArray[np.bool_]:
        generator = np.random.default_rng([*self.key, row])
        return choose_spans(length, self.share, len(self.sentinels) - 1, generator)


def choose_spans(length: int, share: float, most: int, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return which tokens of a row are cut out, bool, shape (length,): spans with something between them.

    Args:
        length: Tokens of the row.
        share: Of these that are cut out.
        most: Spans.
        generator: Draws them.
    """
    num_cut = min(max(round(length * share), 1), length - 1)
    if num_cut < 1:
        return np.zeros(length, np.bool_)
    num_spans = max(min(round(num_cut / MEAN_SPAN), most, num_cut, length - num_cut), 1)
    cut, left = (_parts(total, num_spans, generator) for total in (num_cut, length - num_cut))
    # One after the other, what stays first.
    lengths = np.stack((left, cut), axis=1).ravel()
    return np.repeat(np.tile([False, True], num_spans), lengths)


def _parts(total: int, count: int, generator: np.random.Generator) -> IntArray:
    """Return the lengths of so many parts, each at least 1, all divisions equally likely."""
    ends = np.sort(generator.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(np.concatenate(([0], ends, [total])))


def cut_spans(
    ids_T: IntArray, is_cut_T: npt.NDArray[np.bool_], sentinels: Sequence[int], behind: Sequence[int]
) -> tuple[IntArray, IntArray]:
    """Return what is left of a row, and what was cut out of it.

    Args:
        ids_T: Its tokens.
        is_cut_T: Which of them are cut out; not the first.
        sentinels: The marks that stand for spans, one more than there are.
        behind: The tokens that end both.
    """
    begins = np.flatnonzero(is_cut_T & ~np.concatenate(([False], is_cut_T[:-1])))
    marks = np.asarray(sentinels[: len(begins) + 1])
    marked_T = ids_T.copy()
    marked_T[begins] = marks[:-1]
    is_begin_T = np.zeros(len(ids_T), np.bool_)
    is_begin_T[begins] = True
    source = marked_T[~is_cut_T | is_begin_T]
    cut_M = np.flatnonzero(is_cut_T)
    # A mark before the first token of each span.
    target = np.insert(ids_T[cut_M], np.searchsorted(cut_M, begins), marks[:-1])
    return np.concatenate((source, behind)), np.concatenate((target, marks[-1:], behind))


def _ragged(rows: Sequence[IntArray]) -> Ragged:
    return Ragged(np.concatenate(rows).astype(np.int64), np.cumsum([0, *map(len, rows)]))
