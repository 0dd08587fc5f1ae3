"""A language model of n-grams in back-off form: a probability for each known one, and what others are multiplied with.

It scores whole columns of token ids without a loop over tokens; it knows no text, no file, and not how it was made.

Legend: V tokens that can follow, and one more that begins a text; K known n-grams of an order; M tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from yanmo.arrays import Doubles, IntArray, Ragged

__all__ = ["BackoffLevel", "BackoffModel", "framed", "places_in_rows"]

LEAST = -230.0
"""Stands for the logarithm of 0: ARPA files have -99 to the base of ten."""


class BackoffLevel(Struct, frozen=True):
    """The known n-grams of one order.

    Attributes:
        keys_K: The place of the n-gram's first n - 1 tokens among those of the order below, times V + 1, plus its last
            token; ascending, int64.
        log_probabilities_K: Of the last token after the others, in nats, float64.
        backoffs_K: What the probability of a token is multiplied with that does not follow the n-gram here, in nats,
            float64; 0 of the highest order.
    """

    keys_K: IntArray
    log_probabilities_K: Doubles
    backoffs_K: Doubles

    def find(self, keys_M: IntArray) -> IntArray:
        """Return the place of each key, -1 where it is not known."""
        if not len(self.keys_K):
            return np.full(len(keys_M), -1, dtype=np.int64)
        places_M = np.searchsorted(self.keys_K, keys_M)
        places_M[places_M == len(self.keys_K)] = 0
        return np.where(self.keys_K[places_M] == keys_M, places_M, -1)


class BackoffModel(Struct, frozen=True):
    """n-grams of all orders; those of order 1 are all tokens, in their order.

    Attributes:
        vocab_size: V. The token that begins a text has the id V; it follows nothing.
        levels: From order 1 on.
    """

    vocab_size: int
    levels: Sequence[BackoffLevel]

    def score(self, ids: Ragged, end_id: int) -> Ragged:
        """Return the log-likelihoods of N rows in nats, float64: of every token, and last of the end.

        Args:
            ids: Token ids, N rows without any mark.
            end_id: The token that ends a row.
        """
        framed_ids = framed(ids, begin_id=self.vocab_size, end_id=end_id)
        tokens_M, place_M = framed_ids.values, places_in_rows(framed_ids)
        # Every token is a known n-gram of order 1; the one that begins a row is only looked back to.
        found_M, likelihoods_M = tokens_M, self.levels[0].log_probabilities_K[tokens_M].copy()
        for before, level in pairwise(self.levels):
            # Only what follows a known n-gram of the order below can be one of this order, or is multiplied.
            asked = np.flatnonzero((place_M[1:] > 0) & (found_M[:-1] >= 0)) + 1
            context = found_M[asked - 1]
            places = level.find(context * (self.vocab_size + 1) + tokens_M[asked])
            is_known = places >= 0
            likelihoods_M[asked] += before.backoffs_K[context]
            likelihoods_M[asked[is_known]] = level.log_probabilities_K[places[is_known]]
            found_M = np.full(len(tokens_M), -1, dtype=np.int64)
            found_M[asked[is_known]] = places[is_known]
        counted = place_M > 0
        return Ragged(likelihoods_M[counted], ids.offsets + np.arange(len(ids.offsets)))


def framed(ids: Ragged, *, begin_id: int, end_id: int) -> Ragged:
    """Return rows with a token before each and one behind it."""
    ends = ids.offsets + 2 * np.arange(len(ids.offsets))
    values = np.full(ends[-1], begin_id, dtype=np.int64)
    values[ends[1:] - 1] = end_id
    inside: npt.NDArray[np.bool_] = np.ones(len(values), dtype=np.bool_)
    inside[ends[:-1]] = inside[ends[1:] - 1] = False
    values[inside] = ids.values
    return Ragged(values, ends)


def places_in_rows(rows: Ragged) -> IntArray:
    """Return how many values of its row stand before each one, int64."""
    return np.asarray(np.arange(len(rows.values)) - np.repeat(rows.offsets[:-1], rows.lengths_N))
