"""Pairs of texts as rows that a network reads and writes: cut to a length, padded; it knows no network.

Legend: N pairs, B rows of a batch, S tokens of the longest source, T of the longest target.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from yanmo.arrays import IntArray, Ragged
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.language.documents import UNCOUNTED
from yanmo.text.pair_tokens import PairTokenizer

__all__ = ["PairRows", "tokenize_pairs"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairRows:
    """N pairs of token rows, each with the tokens that end it.

    Attributes:
        sources: What is read.
        targets: What is to be written.
        pad_id: What fills a row.
        begin_id: What stands before a text that is written.
    """

    sources: Ragged
    targets: Ragged
    pad_id: int
    begin_id: int
    is_padded: bool = True
    output_ends: None = None

    @property
    def lengths_N(self) -> IntArray:
        """Tokens of both sides of each pair."""
        return self.sources.lengths_N + self.targets.lengths_N

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``input_ids``, ``attention_mask``, ``decoder_input_ids`` and ``labels``, int64, (B, S) and (B, T)."""
        read_BS, is_read_BS = _filled(self.sources.take(rows_B), self.pad_id)
        labels_BT, is_written_BT = _filled(self.targets.take(rows_B), self.pad_id)
        begun_BT = np.concatenate((np.full((len(rows_B), 1), self.begin_id), labels_BT[:, :-1]), axis=1)
        batch = {
            "input_ids": read_BS,
            "attention_mask": is_read_BS.astype(np.int64),
            # Behind the end of a row stands what fills it: nothing before looks there.
            "decoder_input_ids": begun_BT,
            "labels": np.where(is_written_BT, labels_BT, UNCOUNTED),
        }
        return {name: torch.from_numpy(one) for name, one in batch.items()}


def tokenize_pairs(
    tokenizer: PairTokenizer,
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    max_length: int,
    max_target_length: int,
    split: str,
) -> PairRows:
    """Return the tokens of pairs; what is too long is cut, and how much is said.

    Args:
        tokenizer: Cuts both sides.
        sources: N texts.
        targets: N texts.
        max_length: Most tokens of a source.
        max_target_length: Most tokens of a target.
        split: Of which the pairs are, for the message.
    """
    read, cut_sources = tokenizer.encode(sources, max_length=max_length)
    written, cut_targets = tokenizer.encode(targets, max_length=max_target_length)
    for name, cut_N, limit in (("sources", cut_sources, max_length), ("targets", cut_targets, max_target_length)):
        if cut_N.any():
            logger.warning(
                "%d of %d %s of %s are longer than %d tokens and were cut.", cut_N.sum(), len(cut_N), name, split, limit
            )
    return PairRows(read, written, tokenizer.pad_id, tokenizer.begin_id)


def _filled(rows: Ragged, pad_id: int) -> tuple[IntArray, np.ndarray[tuple[int, int], np.dtype[np.bool_]]]:
    lengths_B = rows.lengths_N
    is_here_BT = np.arange(max(1, int(lengths_B.max(initial=0)))) < lengths_B[:, None]
    filled_BT = np.full(is_here_BT.shape, pad_id, dtype=np.int64)
    filled_BT[is_here_BT] = rows.values
    return filled_BT, np.asarray(is_here_BT)
