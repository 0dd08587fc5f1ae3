"""Which tokens are hidden from a network, and what stands in their place; it knows no network and no loss.

All of it is a function of the seed, of the epoch and of a token's place in the corpus. So it does not depend on how a
batch is cut into parts, nor on which worker reads which of them, and what a batch asks is known before it is computed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from yanmo.arrays import IntArray
from yanmo.modeling.features.corpus import CorpusRows, CorpusTokens
from yanmo.modeling.features.ragged import TensorBatch

__all__ = ["COLUMNS", "Masked", "MaskedRows", "Masking", "mask_tokens"]

COLUMNS = 3
"""What is summed of a row for each kind of question: losses, right answers, questions."""
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1
# What a number is drawn for: each purpose has numbers of its own, so none of them says anything about another.
HIDES, FATE, RANDOM, GUESS = range(4)
# SplitMix64's: 2^64 over the golden ratio, and the two factors of its last mix.
GOLDEN, FIRST_FACTOR, SECOND_FACTOR = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True)
class Masking:
    """How a network is made to guess.

    Attributes:
        ratio: Share of the words that are hidden, in (0, 1).
        mask_id: The id of the token that hides another.
        num_ids: Ids in the vocabulary.
        special_ids: Ids of tokens that are never hidden.
        keeps_some: Of the hidden tokens 10 % keep their id and 10 % get a random one; else all get ``mask_id``.
    """

    ratio: float
    mask_id: int
    num_ids: int
    special_ids: tuple[int, ...]
    keeps_some: bool = True


@dataclass(frozen=True)
class Masked:
    """Tokens of which some are hidden.

    Attributes:
        ids: What the network reads, int64, as many as there are tokens.
        hidden_M: Which of them it has to guess, int64.
        chances_M: Of each of these a number in [0, 1), which draws what a generator puts there.
    """

    ids: IntArray
    hidden_M: IntArray
    chances_M: npt.NDArray[np.float64]


def mask_tokens(tokens: CorpusTokens, masking: Masking, key: Sequence[int]) -> Masked:
    """Return tokens of which a random share of the words is hidden.

    Args:
        tokens: Of some rows.
        masking: How much is hidden, and how.
        key: Numbers of at least 0; another key hides other words.

    Source: Devlin et al. 2019, "BERT", section 3.1, arXiv:1810.04805 (80 / 10 / 10); Liu et al. 2019, "RoBERTa",
        section 4.1, arXiv:1907.11692 (dynamic); Cui et al. 2021, "Pre-Training with Whole Word Masking for Chinese
        BERT", section 3, arXiv:1906.08101; Wettig et al. 2023, "Should You Mask 15% in Masked Language Modeling?",
        section 3, arXiv:2202.08005.
    Differs: every word is hidden with that probability, so the share is exact over many rows, not in each.
    """
    # Of each token the first one of its word, whose chance decides for the whole word.
    first = np.maximum.accumulate(np.where(tokens.continues, 0, np.arange(len(tokens.ids))))
    is_hidden = _chances(tokens.places, key, HIDES)[first] < masking.ratio
    hidden_M = np.flatnonzero(is_hidden & ~np.isin(tokens.ids, masking.special_ids))
    places_M, true_M = tokens.places[hidden_M], tokens.ids[hidden_M]
    ids = tokens.ids.copy()
    ids[hidden_M] = masking.mask_id
    if masking.keeps_some:
        fate_M = _chances(places_M, key, FATE)
        random_M = (_chances(places_M, key, RANDOM) * masking.num_ids).astype(np.int64)
        kinds = [fate_M < MASK_SHARE, fate_M < MASK_SHARE + RANDOM_SHARE]
        ids[hidden_M] = np.select(kinds, [ids[hidden_M], random_M], true_M)
    return Masked(ids, hidden_M, _chances(places_M, key, GUESS))


def _chances(places: IntArray, key: Sequence[int], what: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) for every place.

    Source: Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators", doi:10.1145/2660193.2660195: the
        generator's n-th number is a hash of its start and n.
    """
    start = np.random.SeedSequence([what, *key]).generate_state(1, np.uint64)
    mixed = start + places.astype(np.uint64) * np.uint64(GOLDEN)
    mixed = (mixed ^ (mixed >> 30)) * np.uint64(FIRST_FACTOR)
    mixed = (mixed ^ (mixed >> 27)) * np.uint64(SECOND_FACTOR)
    # Of 53 bits a float64 loses none, so 1 is never reached.
    chances: npt.NDArray[np.float64] = ((mixed ^ (mixed >> 31)) >> 11) * 2.0**-53
    return chances


@dataclass(frozen=True)
class MaskedRows:
    """Rows of a corpus as the training loop reads them: with hidden tokens.

    Attributes:
        rows: The rows.
        masking: What of them is hidden.
        key: Decides which words.
        pad_id: What fills a row of a batch on the right.
    """

    rows: CorpusRows
    masking: Masking
    key: tuple[int, ...]
    pad_id: int
    is_padded: bool = True
    output_ends: None = None

    @functools.cached_property
    def lengths_N(self) -> IntArray:
        """Tokens of each row."""
        return self.rows.lengths_N

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return what is read and what is asked.

        ``input_ids`` and ``attention_mask``, int64, have the shape (B, T). Of the M hidden tokens ``hidden``, int64, is
        the place in the batch laid flat, ``answers``, int64, the token that stood there, and ``chances``, float32, as
        in :class:`Masked`.
        """
        tokens = self.rows.take(rows_B)
        masked = mask_tokens(tokens, self.masking, self.key)
        mask_BT = np.arange(max(1, int(tokens.lengths_B.max(initial=0)))) < tokens.lengths_B[:, None]
        read_BT = np.full(mask_BT.shape, self.pad_id, dtype=np.int64)
        read_BT[mask_BT] = masked.ids
        return {
            "input_ids": torch.from_numpy(read_BT),
            "attention_mask": torch.from_numpy(mask_BT.astype(np.int64)),
            "hidden": torch.from_numpy(np.flatnonzero(mask_BT)[masked.hidden_M]),
            "answers": torch.from_numpy(tokens.ids[masked.hidden_M]),
            "chances": torch.from_numpy(masked.chances_M.astype(np.float32)),
        }

    def count_questions(self, rows_B: IntArray) -> tuple[int, int]:
        """Return how many tokens of some rows are hidden, and how many there are."""
        tokens = self.rows.take(rows_B)
        return len(mask_tokens(tokens, self.masking, self.key).hidden_M), len(tokens.ids)
