"""Which passages are most like a question: BM25 over words and ideographs, in numpy; it knows no file and no model.

Ideographs count alone and in pairs, so that Chinese needs no words.

Legend: N passages, P pairs of a term and a passage that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Doubles, IntArray
from yanmo.text.unit_places import cut_units, unit_places

__all__ = ["PassageSearch"]

FIRST_IDEOGRAPH = "\u2e80"
"""Ideographs, kana and the radicals of both begin here."""
SATURATION, LENGTH_SHARE = 1.2, 0.75
"""How soon a term counts no more for standing there again, and how much a long passage is held against it."""


class PassageSearch:
    """The terms of N passages.

    Args:
        passages: At least one.

    Source: Robertson, Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.2.
    """

    def __init__(self, passages: Sequence[str]) -> None:
        self._num_passages = len(passages)
        terms, lengths_N = _terms(passages)
        self._numbers: dict[str, int] = {}
        numbers = (self._numbers.setdefault(one, len(self._numbers)) for one in terms)
        term_P = np.fromiter(numbers, np.int64, len(terms))
        row_P = np.repeat(np.arange(len(passages)), lengths_N)
        keys_P, counts_P = np.unique(term_P * len(passages) + row_P, return_counts=True)
        found_P, self._row_P = np.divmod(keys_P, len(passages))
        self._ends: IntArray = np.searchsorted(found_P, np.arange(len(self._numbers) + 1))
        slack_N = 1 - LENGTH_SHARE + LENGTH_SHARE * lengths_N / max(float(lengths_N.mean()), 1.0)
        num_having_P = np.diff(self._ends)[found_P]
        rarity_P = np.log1p((len(passages) - num_having_P + 0.5) / (num_having_P + 0.5))
        share_P = counts_P * (SATURATION + 1) / (counts_P + SATURATION * slack_N[self._row_P])
        self._score_P: Doubles = rarity_P * share_P

    def scores_N(self, question: str) -> Doubles:
        """Return how much each passage is like a question, at least 0."""
        scores_N = np.zeros(self._num_passages)
        for term in set(_terms([question])[0]):
            number = self._numbers.get(term)
            if number is not None:
                pairs = slice(self._ends[number], self._ends[number + 1])
                # A passage stands once in the pairs of a term.
                scores_N[self._row_P[pairs]] += self._score_P[pairs]
        return scores_N

    def best(self, question: str, most: int) -> list[int]:
        """Return the numbers of so many passages, the one that is most like the question first."""
        best: list[int] = np.argsort(-self.scores_N(question), kind="stable")[:most].tolist()
        return best


def _terms(texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the terms of all texts, one text after the other, and how many each has."""
    places = unit_places(texts, "tokens")
    units = [one.lower() for one in cut_units(texts, places)]
    ends, terms, lengths = places.offsets.tolist(), [], []
    for row in range(len(texts)):
        alone = units[ends[row] : ends[row + 1]]
        pairs = [one + other for one, other in pairwise(alone) if _is_ideograph(one) and _is_ideograph(other)]
        terms += alone + pairs
        lengths.append(len(alone) + len(pairs))
    return terms, np.array(lengths, dtype=np.int64)


def _is_ideograph(unit: str) -> bool:
    # Symbols further behind stand alone, too, and do no harm.
    return len(unit) == 1 and unit >= FIRST_IDEOGRAPH
