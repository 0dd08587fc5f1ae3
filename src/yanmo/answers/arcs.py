"""Arcs: what is said about the words of rows that form trees: each word's head, and its relation to it.

Two forms stand side by side, aligned by word: the heads are pointers to the row's words, the relations are choices
among labels. Whatever is done to evidence is done to both.

Legend: N rows, M words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.answers.pointers import Pointers
from yanmo.answers.trees import tree_heads_M
from yanmo.arrays import FloatArray, IntArray

__all__ = ["Arcs", "Word"]


class Word(Struct, frozen=True):
    """A word of a tree.

    Attributes:
        start: Its first character, in the text as it was given.
        end: The character behind its last one.
        head: The number of its head in the sentence, from 1; 0 for the root.
        relation: To its head.
        probability: Of this head and this relation.
        text: What stands there; None before the text is at hand.
    """

    start: int
    end: int
    head: int
    relation: str
    probability: float
    text: str | None = None

    def within(self, text: str) -> Self:
        """Return the word with what stands there in its text."""
        return replace(self, text=text[self.start : self.end])


class Arcs(Struct, frozen=True):
    """The heads and the relations of M words, as scores or, once they are activated, as probabilities.

    Attributes:
        heads: One decision a word; cell 0 is the root, cell i the i-th word of the row, its own has the score -inf.
        relations: One decision a word, over the labels, with the same rows and places.
    """

    heads: Pointers
    relations: Choices

    def __len__(self) -> int:
        """Return N, the number of rows."""
        return len(self.heads)

    @property
    def offsets_N(self) -> IntArray:
        """Where each row's words begin, with the end of the last, int64, shape (N + 1,)."""
        return self.heads.ends

    @property
    def places(self) -> IntArray | None:
        """Where in the raw text each word begins and ends (exclusive), int64, shape (M, 2)."""
        return self.heads.places

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        return type(self)(self.heads.take(rows), self.relations.take(rows))

    def activate(self) -> Self:
        """Return the probabilities of scores."""
        return type(self)(self.heads.activate(), self.relations.activate())

    def invert(self, *, floor: float = 0.0) -> Self:
        """Return scores whose probabilities these are; without a ``floor`` what may not be chosen stays so."""
        return type(self)(self.heads.invert(floor=floor), self.relations.invert(floor=floor))

    def parts(self) -> tuple[FloatArray, ...]:
        """Return the values of the heads and those of the relations."""
        return (*self.heads.parts(), *self.relations.parts())

    def with_parts(self, *parts: FloatArray) -> Self:
        """Return the same decisions with other values."""
        heads, relations = parts
        return type(self)(self.heads.having(heads), self.relations.having(relations))

    def ordered(self, columns: list[int]) -> Self:
        """Return the Arcs with their relations in another order: first the one that ``columns`` names first."""
        return type(self)(self.heads, self.relations.ordered(columns))

    def trees_M(self) -> IntArray:
        """Return of probabilities the head of every word in the best tree of its row, a cell, int64, shape (M,)."""
        return tree_heads_M(self.heads.invert())

    @classmethod
    def gathered(cls, parts: Sequence[tuple[IntArray, Self]]) -> Self:
        """Return the rows of several Arcs as one, each at its number; the numbers are 0 to N - 1, each once.

        Args:
            parts: The numbers of the rows, and the Arcs about them; at least one.
        """
        heads = Pointers.gathered([(rows, one.heads) for rows, one in parts])
        return cls(heads, Choices.gathered([(rows, one.relations) for rows, one in parts]))

    def columns(self) -> dict[str, pl.Series]:
        """Return what a file of Predictions holds of them: those of both forms."""
        return self.heads.columns() | self.relations.columns()

    @classmethod
    def read(cls, frame: pl.DataFrame, link: Link) -> Self:
        """Return the Arcs that :meth:`columns` wrote.

        Args:
            frame: Rows of a file of Predictions.
            link: Of the relations.
        """
        return cls(Pointers.read(frame), Choices.read(frame, link))

    def distance_N(self, other: Self) -> FloatArray:
        """Return how far each row's values are from those of another, the largest difference of all, shape (N,)."""
        return np.maximum(self.heads.distance_N(other.heads), self.relations.distance_N(other.relations))
