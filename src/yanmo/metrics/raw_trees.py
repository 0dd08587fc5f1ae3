"""Trees of words that a segmenter has cut, held against true ones: words are the same where they stand at one place.

It knows no model. Precision and recall are of all words, so words that were cut wrongly count on both sides.

Legend: N rows, M words that were found, G true ones.

Source: Zeman et al. 2018, "CoNLL 2018 Shared Task: Multilingual Parsing from Raw Text to Universal Dependencies",
section 4.1 (alignment), K18-2001. Differs: sentences are given, and a word of several is compared as its parts.
"""

from __future__ import annotations

import numpy as np

from yanmo.arrays import IntArray, Ragged
from yanmo.metrics.trees import Attached, RelationTable

__all__ = ["measure_raw_trees"]

NOBODY = -2
"""Stands for a head that is no true word."""


def measure_raw_trees(
    found: Attached, places: Ragged, truth: Attached, true_places: Ragged, table: RelationTable
) -> dict[str, float]:
    """Return the F1 of words, of heads, of arcs, and of arcs of content words.

    Args:
        found: Heads, counted among the words that were found, and relations.
        places: Where these words begin and end, int64, shape (M, 2), N rows.
        truth: The true heads and relations.
        true_places: Where the true words begin and end, shape (G, 2), N rows.
        table: Of the relations.
    """
    true_M = _same_words(places, true_places)
    found_words = np.flatnonzero(true_M >= 0)
    true_words = true_M[found_words]
    right_head = _true_heads(found.heads_M, places, true_M, true_places)[found_words] == truth.heads_M[true_words]
    alike = table.universal_C[found.relations_M[found_words]] == table.universal_C[truth.relations_M[true_words]]
    content = table.is_content_C[truth.relations_M[true_words]]
    both = len(true_M) + len(truth.heads_M)
    both_content = table.is_content_C[found.relations_M].sum() + table.is_content_C[truth.relations_M].sum()
    return {
        "words_f1": _f1(len(found_words), both),
        "uas": _f1(right_head.sum(), both),
        "las": _f1((right_head & alike).sum(), both),
        "clas": _f1((right_head & alike & content).sum(), both_content),
    }


def _same_words(places: Ragged, true_places: Ragged) -> IntArray:
    """Return of every word that was found the true word at its place, -1 where there is none."""
    width = int(max(places.values.max(initial=0), true_places.values.max(initial=0))) + 1
    keys_M, keys_G = (_keys(one, width) for one in (places, true_places))
    # Words of a row come in their order, and rows in theirs: keys ascend.
    at_M = np.minimum(np.searchsorted(keys_G, keys_M), max(len(keys_G) - 1, 0))
    if not len(keys_G):
        return np.full(len(keys_M), -1)
    return np.where(keys_G[at_M] == keys_M, at_M, -1)


def _keys(places: Ragged, width: int) -> IntArray:
    """Return a number of each place, unlike that of any other, and larger the further behind it stands."""
    row_M = np.repeat(np.arange(len(places)), places.lengths_N)
    return np.asarray((row_M * width + places.values[:, 0]) * width + places.values[:, 1])


def _true_heads(heads_M: IntArray, places: Ragged, true_M: IntArray, true_places: Ragged) -> IntArray:
    """Return the heads counted among the true words, 0 for the root, ``NOBODY`` where a head is no true word."""
    begins_M = np.repeat(places.offsets[:-1], places.lengths_N)
    true_begins_M = np.repeat(true_places.offsets[:-1], places.lengths_N)
    head_M = true_M[np.maximum(begins_M + heads_M - 1, 0)]
    return np.where(heads_M == 0, 0, np.where(head_M < 0, NOBODY, head_M - true_begins_M + 1))


def _f1(hits: int, both: int) -> float:
    return float(2 * hits / both) if both else float("nan")
