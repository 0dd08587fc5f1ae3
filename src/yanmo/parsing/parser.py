"""A parser: weights, vocabulary and how sure it is, from words with tags to evidence; it knows no file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from yanmo.answers.arcs import Arcs
from yanmo.arrays import IntArray, Ragged
from yanmo.parsing.arc_evidence import ParsedWords, Sharpness, evidence_of
from yanmo.parsing.arc_search import parse_rows
from yanmo.parsing.arc_weights import ArcWeights
from yanmo.parsing.sentences import WordHashes
from yanmo.text.units import HashArray

__all__ = ["ArcParser"]

BLOCK_PLACES = 1 << 14
"""Places of all rows of the sentences that go forward together."""


class ArcParser(Struct, frozen=True):
    """A transition-based parser.

    Attributes:
        weights: What it has learned.
        vocabulary_V: Hashes of the words that it has learned by themselves, ascending.
        sharpness: How its scores become log odds.
        beam: How many sequences of actions of a sentence go forward together.
    """

    weights: ArcWeights
    vocabulary_V: HashArray
    sharpness: Sharpness
    beam: int = 1

    def read(self, surfaces: Sequence[str], kinds_U: IntArray | None, offsets: IntArray) -> WordHashes:
        """Return what is read of words; arguments as of :meth:`WordHashes.of`."""
        return WordHashes.of(surfaces, kinds_U, offsets, self.vocabulary_V)

    def parse(self, words: WordHashes) -> ParsedWords:
        """Return what is said about the words of all sentences, in their order."""
        num_words = int(words.offsets[-1])
        found = ParsedWords(
            np.zeros(num_words, dtype=np.int64),
            np.zeros(num_words, dtype=np.float32),
            np.zeros((num_words, self.weights.num_relations), dtype=np.float32),
        )
        for sentences in words.blocks(BLOCK_PLACES // self.beam):
            rows = words.rows(sentences)
            parsed = parse_rows(rows, self.weights, beam=self.beam)
            places_U, units_U = rows.places_U(), words.units_of(sentences)
            begins_U = np.repeat(rows.begins_N, rows.lengths_N)
            lengths_U = np.repeat(rows.lengths_N, rows.lengths_N)
            heads_U = parsed.heads_P[places_U] - begins_U
            found.heads_M[units_U] = np.where(heads_U == lengths_U, 0, heads_U + 1)
            found.margins_M[units_U] = parsed.margins_P[places_U]
            found.relations_MC[units_U] = parsed.relations_PC[places_U]
        return found

    def evidence(self, words: WordHashes, places: Ragged) -> Arcs:
        """Return scores of the heads and relations of words that stand at some places."""
        return evidence_of(self.parse(words), places, self.sharpness)
