"""Parsed rows to evidence: how sure a parser is of each head and relation; it knows no weight and no text.

A greedy parser chooses actions and has no probabilities. By how much the action that gave a word its head was better
than any other says how sure the head is; what is left is shared by all other words and the root.

Legend: N sentences, M words of all of them, K cells, C relations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.answers.pointers import Pointers
from yanmo.arrays import FloatArray, IntArray, Ragged

__all__ = ["ParsedWords", "Sharpness", "evidence_of", "fit_sharpness"]

MARGINS = tuple(2.0**power for power in range(-9, 1))
"""What margins may be multiplied with to become log odds."""
LEAST_DOUBT = 1e-6


class ParsedWords(Struct, frozen=True):
    """What a parser says about M words, in the order of the sentences.

    Attributes:
        heads_M: The number of each word's head, 0 for the root, int64.
        margins_M: By how much it was better than anything else, at least 0, float32.
        relations_MC: The scores of the relations to it, float32.
    """

    heads_M: IntArray
    margins_M: FloatArray
    relations_MC: FloatArray


class Sharpness(Struct, frozen=True):
    """How scores become log odds.

    Attributes:
        heads: What margins are multiplied with.
        relations: What the scores of relations are multiplied with.
    """

    heads: float
    relations: float


def evidence_of(parsed: ParsedWords, places: Ragged, sharpness: Sharpness) -> Arcs:
    """Return scores of every word's heads and relations.

    Args:
        parsed: What the parser says.
        places: Where the words stand in their texts, int64, shape (M, 2), N rows.
        sharpness: Of the parser.
    """
    lengths_N, ends = places.lengths_N, places.offsets
    num_cells_M = np.repeat(lengths_N + 1, lengths_N)
    cells = np.concatenate(([0], np.cumsum(num_cells_M))).astype(np.int64)
    doubt_M = _doubt(parsed.margins_M, sharpness.heads)
    # A row of one word has no other cell that could be meant.
    others_M = np.log(np.maximum(doubt_M, LEAST_DOUBT) / np.maximum(num_cells_M - 2, 1))
    values_K = np.repeat(others_M, num_cells_M).astype(np.float32)
    values_K[cells[:-1] + parsed.heads_M] = np.log1p(-doubt_M)
    own_M = np.arange(len(lengths_N)).repeat(lengths_N)
    values_K[cells[:-1] + np.arange(1, len(own_M) + 1) - ends[:-1][own_M]] = -np.inf
    heads = Pointers(values_K, cells, ends, places.values)
    scores_MC = parsed.relations_MC * np.float32(sharpness.relations)
    return Arcs(heads, Choices(scores_MC, SOFTMAX, ends, places.values))


def fit_sharpness(parsed: ParsedWords, heads_M: IntArray, relations_M: IntArray) -> Sharpness:
    """Return the sharpness with the least log loss of what holds.

    Args:
        parsed: Of held-out sentences.
        heads_M: The true heads.
        relations_M: The true relations.
    """
    is_right_M = parsed.heads_M == heads_M
    losses = [
        _loss(np.where(is_right_M, 1 - _doubt(parsed.margins_M, one), _doubt(parsed.margins_M, one))) for one in MARGINS
    ]
    rows, found = np.flatnonzero(is_right_M), []
    for one in MARGINS:
        scores_MC = SOFTMAX.activate(parsed.relations_MC[rows] * np.float32(one))
        found.append(_loss(scores_MC[np.arange(len(rows)), relations_M[rows]]))
    return Sharpness(_least(losses), _least(found))


def _doubt(margins_M: FloatArray, sharpness: float) -> FloatArray:
    """Return the probability that a head is another one: at most one half, for another would have been chosen."""
    return np.asarray(np.clip(1 / (1 + np.exp(np.minimum(margins_M * sharpness, 60.0))), LEAST_DOUBT, 0.5))


def _loss(likelihood_M: FloatArray) -> float:
    return float(-np.log(np.maximum(likelihood_M, LEAST_DOUBT)).mean()) if len(likelihood_M) else 0.0


def _least(losses: Sequence[float]) -> float:
    return MARGINS[int(np.argmin(losses))]
