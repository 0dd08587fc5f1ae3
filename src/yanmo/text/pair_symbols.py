"""The symbols of pairs of texts, such as letters and phonemes: both sides cut, and their numbers; it knows no model.

A side is cut at white space where its words are a small closed list, as phonemes and syllables are; else each character
is a symbol.

Legend: N texts, V symbols of one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Literal, Self

import numpy as np
from msgspec import Struct

from yanmo.arrays import IntArray, Ragged

__all__ = ["PairSymbols", "SymbolCut", "choose_cut"]

SymbolCut = Literal["characters", "words"]
MOST_WORDS, LEAST_REPEATS, LEAST_WORDS = 2000, 10, 1.5
"""A side is cut into words if it has at most so many distinct ones, each so often in the mean, and so many a text."""


class PairSymbols(Struct, frozen=True):
    """The symbols of one side; any other one has the number V.

    Attributes:
        cut: What a symbol is.
        symbols: V symbols, sorted.
    """

    cut: SymbolCut
    symbols: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str], cut: SymbolCut) -> Self:
        """Return the symbols of some texts."""
        return cls(cut, tuple(sorted(set(chain.from_iterable(_cut(text, cut) for text in texts)))))

    def __len__(self) -> int:
        """Return V."""
        return len(self.symbols)

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Return the numbers of the symbols of N texts."""
        numbers, unknown = {symbol: number for number, symbol in enumerate(self.symbols)}, len(self.symbols)
        rows = [[numbers.get(symbol, unknown) for symbol in _cut(text, self.cut)] for text in texts]
        offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
        return Ragged(np.fromiter(chain.from_iterable(rows), np.int64, int(offsets[-1])), offsets)

    def raw(self, text: str) -> Sequence[str]:
        """Return the symbols of a text as they stand in it."""
        return _cut(text, self.cut)

    def join(self, symbols: Sequence[str]) -> str:
        """Return the text that symbols make."""
        return (" " if self.cut == "words" else "").join(symbols)

    def places(self, symbols: Sequence[str]) -> IntArray:
        """Return which characters of their text symbols add, int64, shape (V, 2); a word has the space before it."""
        lengths = np.array([len(one) for one in symbols], dtype=np.int64)
        if self.cut == "words":
            lengths[1:] += 1
        ends = np.cumsum(lengths)
        return np.stack([ends - lengths, ends], axis=1).astype(np.int64)


def choose_cut(texts: Sequence[str]) -> SymbolCut:
    """Return what texts are cut into."""
    words = [text.split() for text in texts]
    num_words = sum(map(len, words))
    distinct = len(set(chain.from_iterable(words)))
    is_closed = distinct <= MOST_WORDS and num_words >= distinct * LEAST_REPEATS
    return "words" if is_closed and num_words >= LEAST_WORDS * len(texts) else "characters"


def _cut(text: str, cut: SymbolCut) -> Sequence[str]:
    return text.split() if cut == "words" else text
