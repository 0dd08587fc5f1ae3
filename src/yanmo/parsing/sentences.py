"""Sentences as a parser reads them: hashes of words and tags, laid out in rows of one width; it knows no transition.

A row has its words, then the root, then room that is nothing: whatever looks beyond the root or for a missing child
finds nothing there, so no step asks whether a place is there.

Legend: N sentences, P places of all rows, U words, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
from msgspec import Struct

from yanmo.arrays import IntArray
from yanmo.text.unit_views import UnitViews
from yanmo.text.units import HashArray, mix

__all__ = ["Rows", "WordHashes", "frequent_words", "hash_relations"]

ROOM = 3
"""Places behind a row's last word: the root, and two that are nothing."""
ROOT, NOTHING = mix(np.array([0x10FFF0, 0x10FFF1], dtype=np.uint32))
"""Hashes of the root and of nothing, of code points that no text has."""
UNKNOWN = np.uint64(0x2545F4914F6CDD1D)
"""Is added to the hash of the ending of a word that training hardly met, in place of the word."""
IDEOGRAPH = 1
TAGS, RELATIONS = 0x200000, 0x300000
"""Numbers from which on those of tags and relations are hashed, behind all code points."""


class WordHashes(Struct, frozen=True):
    """The words of N sentences, each as four hashes, uint64, shape (U,).

    Attributes:
        words_U: In small letters; of one that training hardly met its ending.
        endings_U: The last three characters; of a word of Chinese the last one.
        openings_U: The first three characters; of a word of Chinese the first one, and how long it is.
        tags_U: Their parts of speech.
        offsets: Sentence i has the words ``offsets[i]`` to ``offsets[i + 1]``, int64, shape (N + 1,).
    """

    words_U: HashArray
    endings_U: HashArray
    openings_U: HashArray
    tags_U: HashArray
    offsets: IntArray

    @classmethod
    def of(cls, surfaces: Sequence[str], kinds_U: IntArray | None, offsets: IntArray, vocabulary_V: HashArray) -> Self:
        """Return the hashes of words.

        Args:
            surfaces: U words.
            kinds_U: The number of each word's part of speech, from 1; None where nobody has told it.
            offsets: Where sentences begin and end.
            vocabulary_V: From :func:`frequent_words`.
        """
        views = UnitViews(surfaces)
        words_U = views.view("lower")
        is_known_U = np.isin(words_U, vocabulary_V)
        # A word of Chinese has hardly two characters, of which the last says most.
        is_ideograph_U = views.kinds_P[views.starts_U] == IDEOGRAPH
        last_U = views.view("suffix1")
        words_U = np.where(is_known_U, words_U, np.where(is_ideograph_U, last_U, views.view("suffix2")) + UNKNOWN)
        endings_U = np.where(is_ideograph_U, last_U, views.view("suffix3"))
        first_U = views.view("prefix1") + views.view("length")
        openings_U = np.where(is_ideograph_U, first_U, views.view("prefix3"))
        tags_U = np.zeros(len(surfaces), dtype=np.int64) if kinds_U is None else kinds_U - 1
        return cls(words_U, endings_U, openings_U, mix((tags_U + TAGS).astype(np.uint32)), offsets)

    def rows(self, sentences: IntArray) -> Rows:
        """Return sentences as rows.

        Args:
            sentences: Their numbers, the longest first; each has a word.
        """
        lengths_N = (self.offsets[1:] - self.offsets[:-1])[sentences]
        width = int(lengths_N.max(initial=0)) + ROOM
        rows = Rows(lengths_N, width, *(np.full(len(lengths_N) * width, NOTHING) for _ in range(4)))
        places_U, sources_U = rows.places_U(), self.units_of(sentences)
        roots_N = rows.begins_N + lengths_N
        for rows_P, ours_U in (
            (rows.words_P, self.words_U),
            (rows.endings_P, self.endings_U),
            (rows.openings_P, self.openings_U),
            (rows.tags_P, self.tags_U),
        ):
            rows_P[places_U] = ours_U[sources_U]
            rows_P[roots_N] = ROOT
        return rows

    def units_of(self, sentences: IntArray) -> IntArray:
        """Return the numbers of the words of some sentences, one sentence after the other."""
        lengths_N = (self.offsets[1:] - self.offsets[:-1])[sentences]
        ends_N = np.cumsum(lengths_N)
        shift_N = self.offsets[sentences] - ends_N + lengths_N
        return np.asarray(np.arange(int(lengths_N.sum())) + np.repeat(shift_N, lengths_N))

    def blocks(self, num_places: int) -> Iterator[IntArray]:
        """Yield the sentences that have words, the longest first, in blocks of about so many places or fewer."""
        lengths_N = self.offsets[1:] - self.offsets[:-1]
        order_N = np.argsort(-lengths_N, kind="stable")
        order_N = order_N[lengths_N[order_N] > 0]
        begin = 0
        while begin < len(order_N):
            end = begin + max(num_places // (int(lengths_N[order_N[begin]]) + ROOM), 1)
            yield order_N[begin:end]
            begin = end


class Rows(Struct, frozen=True):
    """Sentences of a batch, the longest first, in rows of one width.

    Attributes:
        lengths_N: Words of each, int64, descending.
        width: Places of a row.
        words_P: Hashes of the words, uint64.
        endings_P: Hashes of their endings, uint64.
        openings_P: Hashes of how they begin, uint64.
        tags_P: Hashes of their tags, uint64.
    """

    lengths_N: IntArray
    width: int
    words_P: HashArray
    endings_P: HashArray
    openings_P: HashArray
    tags_P: HashArray

    @property
    def begins_N(self) -> IntArray:
        """The place of each row's first word."""
        return np.arange(len(self.lengths_N)) * self.width

    def places_U(self) -> IntArray:
        """Return the places of all words, row by row."""
        ends_N = np.cumsum(self.lengths_N)
        inner_U = np.arange(int(self.lengths_N.sum())) - np.repeat(ends_N - self.lengths_N, self.lengths_N)
        return np.asarray(np.repeat(self.begins_N, self.lengths_N) + inner_U)

    def repeated(self, times: int) -> Rows:
        """Return every row so many times, one behind the other."""
        columns = (
            np.repeat(one_P.reshape(-1, self.width), times, axis=0).ravel()
            for one_P in (self.words_P, self.endings_P, self.openings_P, self.tags_P)
        )
        return Rows(np.repeat(self.lengths_N, times), self.width, *columns)


def frequent_words(surfaces: Sequence[str], min_count: int) -> HashArray:
    """Return the hashes of words that are met so often, ascending, uint64, shape (V,)."""
    words_V, counts_V = np.unique(UnitViews(surfaces).view("lower"), return_counts=True)
    return np.asarray(words_V[counts_V >= min_count])


def hash_relations(num_relations: int) -> HashArray:
    """Return a hash of each relation and, behind the last, of none, uint64, shape (C + 1,)."""
    return mix((np.arange(num_relations + 1) + RELATIONS).astype(np.uint32))
