"""Hashed word and character n-grams of whole columns, with numpy alone; it knows no weights and no model.

Word n-grams are n units in a row (units.py: a word, one Chinese character, one symbol), whatever white space stands
between them. Character n-grams are n characters in a row, single spaces included, so they run across words, in Latin
and in Chinese alike, as with scikit-learn's ``analyzer="char"``; runs of white space count as one space. No n-gram
reaches into the next text.

The hash of an n-gram is a polynomial of its mixed code points modulo 2^64, mixed again at the end: every bit of it is
uniform, so ``hash & (buckets - 1)`` is a good bucket. It is the same on every machine.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AfterValidator, model_validator

from yanmo.config import Config
from yanmo.protocols import IntArray, Ragged
from yanmo.text.columns import SEPARATOR, join_column
from yanmo.text.units import BASE, CodePoints, HashArray, cjk_share, code_points, mix, units

__all__ = ["NgramConfig", "cjk_share", "default_ngrams", "hash_column", "hash_pairs", "ngram_strings"]

MAX_SIZE = 8
BLOCK_CHARACTERS = 1 << 15
"""Texts are worked on in blocks of at least this many characters, whose arrays stay in the cache."""

_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_SPACE_RUNS = re.compile(r"[^\S\x1e]{2,}|[^\S\x1e ]")


def _check_range(sizes: tuple[int, int] | None) -> tuple[int, int] | None:
    if sizes is not None and not 1 <= sizes[0] <= sizes[1] <= MAX_SIZE:
        raise ValueError(f"two numbers with 1 <= smallest <= largest <= {MAX_SIZE}")
    return sizes


SizeRange = Annotated[tuple[int, int] | None, AfterValidator(_check_range)]


class NgramConfig(Config):
    """Which n-grams of a text are its features."""

    word_ngrams: SizeRange = (1, 2)
    """Smallest and largest number of words in a row; a Chinese character or a symbol is a word."""

    char_ngrams: SizeRange = (1, 4)
    """Smallest and largest number of characters in a row."""

    lowercase: bool = True
    """Whether case is ignored."""

    cjk_words: bool = False
    """Whether a run of Chinese characters is one word: for segmented text."""

    @model_validator(mode="after")
    def _any_features(self) -> "NgramConfig":
        if self.word_ngrams is None and self.char_ngrams is None:
            raise ValueError("given word_ngrams, char_ngrams or both")
        return self


def default_ngrams(cjk_share: float, *, segmented: bool = False) -> NgramConfig:
    """Return the n-grams that suit texts of a language.

    Args:
        cjk_share: Share of Chinese and Japanese among their letters, 0 to 1.
        segmented: Whether a segmenter has put spaces between the words.

    Returns:
        Chinese: characters 1-3. English: words 1-2 and characters 2-5. Mixed: words 1-2 and characters 1-4.
        Segmented text has words 1-2 in any case.
    """
    if cjk_share >= 0.7:
        return NgramConfig(word_ngrams=(1, 2) if segmented else None, char_ngrams=(1, 3), cjk_words=segmented)
    char_ngrams = (2, 5) if cjk_share <= 0.05 else (1, 4)
    return NgramConfig(word_ngrams=(1, 2), char_ngrams=char_ngrams, cjk_words=segmented)


def hash_column(texts: Sequence[str], config: NgramConfig, *, salt: int = 0) -> Ragged:
    """Return the hashes of all n-grams of all texts.

    Args:
        texts: N cleaned texts.
        config: Which n-grams.
        salt: 0 to 2^32 - 1; the same n-gram has unrelated hashes under two salts.

    Returns:
        N rows of uint64: word n-grams before character n-grams, short ones before long ones, in the order of the
        text; a row is empty if its text is.
    """
    rows = [_finished(_interleave(list(block.parts(config, salt)), block.num_rows)) for block in _blocks(texts, config)]
    if len(rows) == 1:
        return rows[0]
    values = np.concatenate([np.zeros(0, dtype=np.uint64), *(row.values for row in rows)])
    return Ragged(values, _offsets(np.concatenate([np.zeros(0, dtype=np.int64), *(row.lengths_N for row in rows)])))


def hash_pairs(texts: Sequence[str], texts_b: Sequence[str], config: NgramConfig) -> Ragged:
    """Return the hashes of N pairs: those of the first text with salt 0, then those of the second with salt 1."""
    halves = [hash_column(texts, config), hash_column(texts_b, config, salt=1)]
    return _interleave([_Part(half.values, half.lengths_N) for half in halves], len(texts))


def ngram_strings(texts: Sequence[str], config: NgramConfig, hashes: HashArray, *, salt: int = 0) -> dict[int, str]:
    """Return the text of n-grams by their hashes, as each first occurs in a column.

    Args:
        texts: Texts in which the n-grams occur.
        config: That of ``hash_column``.
        hashes: Some hashes that ``hash_column`` returned, in any order.
        salt: That of ``hash_column``.

    Returns:
        Hash to string, for the hashes that were found.
    """
    wanted = np.unique(np.asarray(hashes, dtype=np.uint64))
    found: dict[int, str] = {}
    for block in _blocks(texts, config):
        if not len(wanted):
            break
        for part in block.parts(config, salt):
            hashes = _finish(part.hashes)
            places = np.searchsorted(wanted, hashes)
            places[places == len(wanted)] = 0
            hits = np.flatnonzero(wanted[places] == hashes)
            keys, first = np.unique(places[hits], return_index=True)
            for key, hit in zip(wanted[keys].tolist(), hits[first].tolist(), strict=True):
                found.setdefault(key, part.string(block.points, hit))
        wanted = wanted[~np.isin(wanted, np.fromiter(found, dtype=np.uint64, count=len(found)))]
    return found


class _Part(NamedTuple):
    """The n-grams of one kind and size: hashes in the order of rows, not yet finished, and how many each row has.

    N-gram i runs from the start of item ``first[i]`` to the end of the item ``size - 1`` further on; without ``first``
    from item i, and without ``spans``, the starts and ends of items, an item is one code point.
    """

    hashes: HashArray
    counts_N: IntArray
    size: int = 1
    first: IntArray | None = None
    spans: tuple[IntArray, IntArray] | None = None

    def string(self, points: CodePoints, index: int) -> str:
        """Return the text of one n-gram."""
        first = index if self.first is None else int(self.first[index])
        start, end = first, first + self.size
        if self.spans is not None:
            start, end = int(self.spans[0][first]), int(self.spans[1][end - 1])
        return points[start:end].tobytes().decode("utf-32-le", "surrogatepass")


class _Block(NamedTuple):
    """Some whole texts of a column: their code points, a separator after each text, and where they end."""

    points: CodePoints
    ends: IntArray

    @property
    def num_rows(self) -> int:
        return len(self.ends)

    def parts(self, config: NgramConfig, salt: int) -> Iterator[_Part]:
        """Yield the n-grams of every kind and size."""
        mixed = mix(self.points)
        if config.word_ngrams is not None:
            starts, ends, items = units(self.points, mixed, cjk_words=config.cjk_words)
            row_ends = np.searchsorted(starts, self.ends)
            yield from _windows(items, row_ends, config.word_ngrams, 2 * salt + 1, (starts, ends))
        if config.char_ngrams is None:
            return
        if self.num_rows == 1:
            yield from _windows(mixed[:-1], self.ends, config.char_ngrams, 2 * salt)
            return
        is_character = np.ones(len(self.points), dtype=np.bool_)
        is_character[self.ends] = False
        starts = is_character.nonzero()[0]
        row_ends = self.ends - np.arange(self.num_rows)
        yield from _windows(mixed[starts], row_ends, config.char_ngrams, 2 * salt, (starts, starts + 1))


def _blocks(texts: Sequence[str], config: NgramConfig) -> Iterator[_Block]:
    """Yield the column in blocks of whole texts."""
    if not len(texts):
        return
    joined = _SPACE_RUNS.sub(" ", join_column(texts))
    points = code_points((joined.lower() if config.lowercase else joined) + SEPARATOR)
    if len(texts) == 1:
        yield _Block(points, np.array([len(points) - 1]))
        return
    ends = np.flatnonzero(points == ord(SEPARATOR))
    start = first = 0
    while first < len(ends):
        last = min(int(np.searchsorted(ends, start + BLOCK_CHARACTERS)), len(ends) - 1)
        stop = int(ends[last]) + 1
        yield _Block(points[start:stop], ends[first : last + 1] - start)
        start, first = stop, last + 1


def _windows(
    items: HashArray,
    row_ends: IntArray,
    sizes: tuple[int, int],
    kind: int,
    spans: tuple[IntArray, IntArray] | None = None,
) -> Iterator[_Part]:
    """Yield the n-grams of every size over rows of items.

    Args:
        items: Hashes of units or characters, all rows one after the other.
        row_ends: Where each row ends among the items.
        sizes: Smallest and largest n.
        kind: Number that keeps the hashes of kinds apart.
        spans: Where each item starts and ends among the code points; None if item i is code point i.
    """
    lengths = row_ends.copy()
    lengths[1:] -= row_ends[:-1]
    whole = None if len(row_ends) == 1 else np.ones(len(items), dtype=np.bool_)
    rolling = items
    for size in range(1, sizes[1] + 1):
        if size > 1:
            rolling = rolling[:-1] * BASE
            rolling += items[size - 1 :]
            if whole is not None:
                # A window that starts at one of the last size - 1 items of its row would end in the next row.
                whole[row_ends[lengths >= size - 1] - (size - 1)] = False
        if size >= sizes[0]:
            salt = _salt(kind, size)
            if whole is None:
                yield _Part(rolling ^ salt, np.array([len(rolling)]), size, None, spans)
            else:
                first = whole.nonzero()[0]
                yield _Part(rolling[first] ^ salt, np.maximum(lengths - (size - 1), 0), size, first, spans)


@functools.lru_cache(maxsize=256)
def _salt(kind: int, size: int) -> np.uint64:
    return np.uint64((kind * (MAX_SIZE + 1) + size) * 0x9E3779B97F4A7C15 & ((1 << 64) - 1))


def _finished(rows: Ragged) -> Ragged:
    return Ragged(_finish(rows.values), rows.offsets)


def _finish(hashes: HashArray) -> HashArray:
    """Return the hashes with all bits mixed, in place.

    Source: Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators", section 5 (SplitMix64; the
        constants are those of Stafford's variant 13).
    """
    hashes ^= hashes >> _SHIFT_1
    hashes *= _MIX_1
    hashes ^= hashes >> _SHIFT_2
    hashes *= _MIX_2
    hashes ^= hashes >> _SHIFT_3
    return hashes


def _offsets(lengths_N: IntArray) -> IntArray:
    offsets = np.zeros(len(lengths_N) + 1, dtype=np.int64)
    np.cumsum(lengths_N, out=offsets[1:])
    return offsets


def _interleave(parts: list[_Part], num_rows: int) -> Ragged:
    """Return the rows of all parts as one: in each row the values of the first part, then those of the second, ..."""
    if num_rows == 1:
        values = np.concatenate([part.hashes for part in parts])
        return Ragged(values, np.array([0, len(values)]))
    offsets = _offsets(np.sum([part.counts_N for part in parts], axis=0))
    values = np.empty(offsets[-1], dtype=np.uint64)
    begins = offsets[:-1].copy()
    for part in parts:
        shifts = begins - _offsets(part.counts_N)[:-1]
        values[np.arange(len(part.hashes)) + np.repeat(shifts, part.counts_N)] = part.hashes
        begins += part.counts_N
    return Ragged(values, offsets)
