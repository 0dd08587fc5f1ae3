"""Modified Kneser-Ney: token ids to the probabilities of n-grams, counted without a loop over tokens; it knows no text.

It takes seconds where a network takes hours, so what a network is worth is told by how far it is from this.

Legend: K distinct n-grams of an order, C of the order below (their contexts), M tokens of all rows.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from yanmo.arrays import Doubles, IntArray, Ragged
from yanmo.text.backoff_model import LEAST, BackoffLevel, BackoffModel, framed, places_in_rows

__all__ = ["count_kneser_ney"]

USUAL_DISCOUNTS = (0.5, 1.0, 1.5)
"""Where a corpus has no n-gram of one of the counts that discounts are estimated from."""


class _Counted(Struct, frozen=True):
    """The distinct n-grams of one order.

    Attributes:
        keys_K: As in :class:`BackoffLevel`.
        counts_K: How often each occurs.
        ids_M: Which one ends at each token, -1 where its row is too short.
        some_K: A token at which each ends.
    """

    keys_K: IntArray
    counts_K: IntArray
    ids_M: IntArray
    some_K: IntArray


def count_kneser_ney(ids: Ragged, *, vocab_size: int, end_id: int, order: int) -> BackoffModel:
    """Return the interpolated model of some rows.

    Args:
        ids: Token ids, each below ``vocab_size``; N rows, that begin and end where they do.
        vocab_size: V.
        end_id: The token that ends a row.
        order: The most tokens of an n-gram, at least 1.

    Source: Chen, Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3 (modified
        Kneser-Ney, discounts of equation 26); Heafield et al. 2013, "Scalable Modified Kneser-Ney Language Model
        Estimation", section 3 (n-grams that begin a text keep their counts).
    """
    rows = framed(ids, begin_id=vocab_size, end_id=end_id)
    counted = [_tokens(rows, vocab_size + 1)]
    while len(counted) < order:
        counted.append(_longer(counted[-1], rows, vocab_size + 1, len(counted)))
    begins = rows.values == vocab_size
    levels: list[BackoffLevel] = []
    probabilities_K: Doubles = np.zeros(0)
    for n, one in enumerate(counted):
        follows = counted[n + 1] if n + 1 < order else None
        adjusted_K = _adjusted(one, follows, begins, n)
        if not n:
            # The token that begins a row follows nothing.
            adjusted_K[vocab_size] = 0
        contexts_K = one.keys_K // (vocab_size + 1) if n else np.zeros(len(one.keys_K), dtype=np.int64)
        num_contexts = len(counted[n - 1].keys_K) if n else 1
        lower_K = probabilities_K[counted[n - 1].ids_M[one.some_K]] if n else _lowest(adjusted_K[:-1])
        discounts_K = _discounts(adjusted_K)
        sums_C = np.bincount(contexts_K, adjusted_K, num_contexts)
        kept_C = np.bincount(contexts_K, discounts_K, num_contexts) / np.maximum(sums_C, 1)
        probabilities_K = (adjusted_K - discounts_K) / np.maximum(sums_C, 1)[contexts_K] + kept_C[contexts_K] * lower_K
        if levels:
            levels[-1] = _with_backoffs(levels[-1], kept_C)
        if not n:
            probabilities_K[vocab_size] = np.exp(LEAST)
        logarithms_K = np.log(probabilities_K)
        levels.append(BackoffLevel(one.keys_K, logarithms_K, np.zeros(len(one.keys_K))))
    return BackoffModel(vocab_size, levels)


def _tokens(rows: Ragged, num_ids: int) -> _Counted:
    """Return all tokens as the n-grams of order 1, whether they occur or not."""
    some_K = np.zeros(num_ids, dtype=np.int64)
    some_K[rows.values] = np.arange(len(rows.values))
    return _Counted(np.arange(num_ids), np.bincount(rows.values, minlength=num_ids), rows.values, some_K)


def _longer(shorter: _Counted, rows: Ragged, num_ids: int, num_before: int) -> _Counted:
    """Return the n-grams that are one token longer.

    Args:
        shorter: Those of the order below.
        rows: All tokens.
        num_ids: V + 1.
        num_before: How many tokens of its row an n-gram has before its last one.
    """
    ends = np.flatnonzero(places_in_rows(rows) >= num_before)
    keys = shorter.ids_M[ends - 1] * num_ids + rows.values[ends]
    order = np.argsort(keys)
    ordered = keys[order]
    is_new = np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(ordered)]
    starts_K = np.flatnonzero(is_new)
    ids_M = np.full(len(rows.values), -1, dtype=np.int64)
    ids_M[ends[order]] = np.cumsum(is_new) - 1
    counts_K = np.diff(np.concatenate((starts_K, [len(ordered)])))
    return _Counted(ordered[starts_K], counts_K, ids_M, ends[order[starts_K]])


def _adjusted(one: _Counted, longer: _Counted | None, begins_M: np.ndarray, num_before: int) -> IntArray:
    """Return what n-grams are counted by: below the highest order by how many different tokens stand before them."""
    if longer is None:
        return one.counts_K.copy()
    # The n-gram at the end of each longer one, which has one token more before it.
    adjusted_K = np.bincount(one.ids_M[longer.some_K], minlength=len(one.keys_K))
    # Nothing stands before what begins a row.
    is_first_K = begins_M[one.some_K - num_before]
    return np.where(is_first_K, one.counts_K, adjusted_K)


def _lowest(counts_V: IntArray) -> Doubles:
    """Return the probabilities of tokens of which nothing is known but whether they occur: those that do not share one.

    A vocabulary of bytes and characters has many that never occur, and as many equal shares would be taken from others.

    Args:
        counts_V: How often each token occurs; behind the last one stands, with 0, the one that begins a row.
    """
    occurs_V = counts_V > 0
    num_absent = int(np.count_nonzero(~occurs_V))
    share = 1 / (np.count_nonzero(occurs_V) + (num_absent > 0))
    return np.append(np.where(occurs_V, share, share / max(num_absent, 1)), 0.0)


def _discounts(adjusted_K: IntArray) -> Doubles:
    """Return what is taken from each count: 0, or the discounts of 1, 2, and 3 or more."""
    ones, twos, threes, fours = (int(np.count_nonzero(adjusted_K == count)) for count in (1, 2, 3, 4))
    found = USUAL_DISCOUNTS
    if ones and twos and threes:
        share = ones / (ones + 2 * twos)
        found = (1 - 2 * share * twos / ones, 2 - 3 * share * threes / twos, 3 - 4 * share * fours / threes)
    if not all(0 < discount < count for count, discount in enumerate(found, 1)):
        found = USUAL_DISCOUNTS
    return np.array([0.0, *found])[np.minimum(adjusted_K, len(found))]


def _with_backoffs(level: BackoffLevel, kept_K: Doubles) -> BackoffLevel:
    # A context of which nothing is kept was followed by nothing, and all is left to the order below.
    backoffs_K = np.log(np.where(kept_K > 0, kept_K, 1.0))
    return BackoffLevel(level.keys_K, level.log_probabilities_K, backoffs_K)
