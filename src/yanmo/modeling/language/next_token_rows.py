"""Rows of a corpus whose every next token is learned; it knows no network and no loss.

A row stands between two marks, which begin a text and end it. A document that is longer goes on in the next row; that a
full row ends is not learned, for mostly its document does not.

Legend: B rows of a batch, T tokens of the longest.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from yanmo.arrays import IntArray, Ragged
from yanmo.modeling.features.corpus import CorpusRows
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.language.documents import UNCOUNTED

__all__ = ["NextTokenRows"]


@dataclass(frozen=True)
class NextTokenRows:
    """Rows as the training loop reads them.

    Attributes:
        rows: Of at least two tokens each.
        full_length: Tokens of a row that is full.
        end_id: The mark, which fills shorter rows, too.
    """

    rows: CorpusRows
    full_length: int
    end_id: int
    is_padded: bool = True
    output_ends: None = None

    @functools.cached_property
    def lengths_N(self) -> IntArray:
        """Tokens of each row that are read: all but the last one."""
        return self.rows.lengths_N - 1

    @functools.cached_property
    def num_counted_N(self) -> IntArray:
        """Tokens of each row that are learned."""
        return np.asarray(self.lengths_N - (self.rows.lengths_N == self.full_length))

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``input_ids`` and ``next_ids``, int64, shape (B, T)."""
        tokens = self.rows.take(rows_B)
        found = Ragged(tokens.ids, np.concatenate(([0], np.cumsum(tokens.lengths_B))))
        places_BT = np.arange(int(tokens.lengths_B.max()) - 1)
        is_here_BT = places_BT < tokens.lengths_B[:, None] - 1
        # Behind the end of a row its last token stands in, and is not read.
        cells_BT = found.offsets[:-1, None] + np.minimum(places_BT, tokens.lengths_B[:, None] - 2)
        is_cut_BT = (places_BT == tokens.lengths_B[:, None] - 2) & (tokens.lengths_B[:, None] == self.full_length)
        next_BT = np.where(is_here_BT & ~is_cut_BT, found.values[cells_BT + 1], UNCOUNTED)
        ids_BT = np.where(is_here_BT, found.values[cells_BT], self.end_id)
        return {"input_ids": torch.from_numpy(ids_BT), "next_ids": torch.from_numpy(next_BT)}
