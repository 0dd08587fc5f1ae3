"""Hashed word and character n-grams of whole columns, with numpy alone; it knows no weights and no model.

Word n-grams are n units in a row (units.py: a word, one Chinese character, one symbol), whatever white space stands
between them. Character n-grams are n characters in a row, single spaces included, so they run across words, in Latin
and in Chinese alike, as with scikit-learn's ``analyzer="char"``; runs of white space count as one space. No n-gram
reaches into the next text.

The hash of an n-gram is a polynomial of the mixed hashes of its items modulo 2^64, mixed again at the end: every bit of
it is uniform, so ``hash & (buckets - 1)`` is a good bucket. It is the same on every machine.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, model_validator

from yanmo.arrays import IntArray, Ragged
from yanmo.config import Config, build
from yanmo.text.columns import SEPARATOR, join_column
from yanmo.text.units import BASE, CodePoints, HashArray, code_points, mix, units

__all__ = ["NgramConfig", "default_ngrams", "hash_column", "hash_pairs", "ngram_strings", "stored_ngrams"]

MAX_SIZE = 8
BLOCK_CHARACTERS = 1 << 15
"""Texts are worked on in blocks of at least this many characters, whose arrays stay in the cache."""

_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
# Every white space but the plain one and the separator; the regular expression engine finds a set faster than a choice.
_ODD_SPACE = re.compile(r"[^\S\x1e ]")
_SPACES = re.compile("  +")


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

    hash_version: Literal[1, 2] = 2
    """How words are hashed. In version 1 some pairs of words such as ("a", "bb") and ("b", "ba") have one hash."""

    @model_validator(mode="after")
    def _any_features(self) -> "NgramConfig":
        if self.word_ngrams is None and self.char_ngrams is None:
            raise ValueError("given word_ngrams, char_ngrams or both")
        return self


def stored_ngrams(settings: Mapping[str, Any], *, where: str) -> NgramConfig:
    """Return the n-grams that a model was trained with, as its file has them; the oldest files name no version.

    Args:
        settings: What ``model_dump`` gave.
        where: The file, for messages.

    Raises:
        ConfigError: There is a key or a value that no version has.
    """
    return build(NgramConfig, {"hash_version": 1, **settings}, where=where)


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
        N rows of uint64: word n-grams before character n-grams, in the order of the text, of those that start at one
        place the short ones first; a row is empty if its text is.
    """
    rows = [
        _finished(_interleave([part.rows for part in block.parts(config, salt)])) for block in _blocks(texts, config)
    ]
    if len(rows) == 1:
        return rows[0]
    values = np.concatenate([np.zeros(0, dtype=np.uint64), *(row.values for row in rows)])
    return Ragged(values, _offsets(np.concatenate([np.zeros(0, dtype=np.int64), *(row.lengths_N for row in rows)])))


def hash_pairs(first: Sequence[str], second: Sequence[str], config: NgramConfig) -> Ragged:
    """Return the hashes of N pairs: those of the first text with salt 0, then those of the second with salt 1."""
    halves = [hash_column(first, config), hash_column(second, config, salt=1)]
    return _interleave(halves)


def ngram_strings(texts: Sequence[str], config: NgramConfig, hashes: HashArray, *, salt: int = 0) -> dict[int, str]:
    """Return the text of n-grams by their hashes, as each first occurs in a column.

    Args:
        texts: Texts in which the n-grams occur.
        config: The config that ``hash_column`` was given.
        hashes: Some hashes that ``hash_column`` returned, in any order.
        salt: The salt that ``hash_column`` was given.

    Returns:
        Hash to string, for the hashes that were found.
    """
    wanted = np.unique(np.asarray(hashes, dtype=np.uint64))
    found: dict[int, str] = {}
    for block in _blocks(texts, config):
        if not len(wanted):
            break
        for part in block.parts(config, salt):
            hashes = _finish(part.rows.values)
            places = np.searchsorted(wanted, hashes)
            # A hash above all wanted ones has no place; any will do, since the comparison refuses it.
            places[places == len(wanted)] = 0
            hits = np.flatnonzero(wanted[places] == hashes)
            keys, first = np.unique(places[hits], return_index=True)
            for key, string in zip(wanted[keys].tolist(), block.strings(part, hits[first]), strict=True):
                found.setdefault(key, string)
        # What has been found is looked for no longer; when nothing is left, the rest of the column is not hashed.
        wanted = wanted[~np.isin(wanted, np.fromiter(found, dtype=np.uint64, count=len(found)))]
    return found


class _Part(NamedTuple):
    """The n-grams of one kind in all rows, their hashes not yet finished.

    There is one for each true ``is_whole[i, k]``, in that order: the one that starts at item i and has ``smallest + k``
    items. Items run from ``spans[0]`` to ``spans[1]`` among the code points; without ``spans`` each is one character.
    """

    rows: Ragged
    is_whole: npt.NDArray[np.bool_]
    smallest: int
    spans: tuple[IntArray, IntArray] | None


class _Block(NamedTuple):
    """Some whole texts of a column: their code points, a separator after each text, and where they end."""

    points: CodePoints
    ends: IntArray

    def parts(self, config: NgramConfig, salt: int) -> Iterator[_Part]:
        """Yield the n-grams of every kind."""
        mixed = mix(self.points)
        if config.word_ngrams is not None:
            starts, ends, items = units(self.points, mixed, cjk_words=config.cjk_words)
            if config.hash_version > 1:
                # A word is a sum over the powers of a base as its n-gram is: a letter that passes from one word to the
                # next could keep the sum. Between two sums nothing is left of the powers.
                items = _finish(items)
            row_ends = np.searchsorted(starts, self.ends)
            # Odd kinds are words and even ones characters: "a" as a word and "a" as a character are two features.
            yield _windows(items, row_ends, config.word_ngrams, 2 * salt + 1, (starts, ends))
        if config.char_ngrams is not None:
            # Separators are taken out, so every row ends earlier by those before it. A single text has one, at its end.
            characters = mixed[:-1] if len(self.ends) == 1 else mixed[self.is_character()]
            row_ends = self.ends - np.arange(len(self.ends))
            yield _windows(characters, row_ends, config.char_ngrams, 2 * salt)

    def is_character(self) -> npt.NDArray[np.bool_]:
        """Return which code points are no separators."""
        is_character = np.ones(len(self.points), dtype=np.bool_)
        is_character[self.ends] = False
        return is_character

    def strings(self, part: _Part, places: IntArray) -> list[str]:
        """Return the texts of some n-grams of a part."""
        characters = self.is_character().nonzero()[0]
        starts, ends = part.spans or (characters, characters + 1)
        first, size = np.divmod(np.flatnonzero(part.is_whole)[places], part.is_whole.shape[1])
        last = first + part.smallest + size - 1
        return [
            self.points[start:end].tobytes().decode("utf-32-le", "surrogatepass")
            for start, end in zip(starts[first].tolist(), ends[last].tolist(), strict=True)
        ]


def _blocks(texts: Sequence[str], config: NgramConfig) -> Iterator[_Block]:
    """Yield the column in blocks of whole texts."""
    if not len(texts):
        return
    joined = _ODD_SPACE.sub(" ", join_column(texts))
    # The search costs little beside a substitution that finds nothing.
    if "  " in joined:
        joined = _SPACES.sub(" ", joined)
    points = code_points((joined.lower() if config.lowercase else joined) + SEPARATOR)
    if len(texts) == 1:
        yield _Block(points, np.array([len(points) - 1]))
        return
    ends = np.flatnonzero(points == ord(SEPARATOR))
    start = first = 0
    while first < len(ends):
        # A block ends with the first text that fills it, for an n-gram must find its whole text in one block.
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
) -> _Part:
    """Return the n-grams of all sizes over rows of items.

    Args:
        items: Hashes of units or characters, all rows one after the other.
        row_ends: Where each row ends among the items.
        sizes: Smallest and largest n.
        kind: Number that keeps the hashes of kinds apart.
        spans: Where each item starts and ends among the code points; None for characters.
    """
    smallest, largest = sizes
    # One text, as a service gets it, needs none of the arithmetic that tells rows apart.
    is_alone = len(row_ends) == 1
    lengths_N = row_ends.copy()
    lengths_N[1:] -= row_ends[:-1]
    num_left = np.arange(len(items), 0, -1) if is_alone else row_ends.repeat(lengths_N) - np.arange(len(items))
    hashes = np.empty((len(items), largest - smallest + 1), dtype=np.uint64)
    is_whole = np.empty(hashes.shape, dtype=np.bool_)
    # Horner's rule for all places at once: the hash of n items is the base times the hash of the first n - 1, plus the
    # last item. N-grams that reach into the next row are computed like all others and masked out afterwards. The
    # product is a new array, so ``items`` stays as it is. What is never written of ``hashes`` is masked, too.
    rolling = items
    for size in range(1, largest + 1):
        if size > 1:
            rolling = rolling[:-1] * BASE
            rolling += items[size - 1 :]
        if size >= smallest:
            np.bitwise_xor(rolling, _salt(kind, size), out=hashes[: len(rolling), size - smallest])
            np.greater_equal(num_left, size, out=is_whole[:, size - smallest])
    values = hashes[is_whole]
    if is_alone:
        return _Part(Ragged(values, np.array([0, len(values)])), is_whole, smallest, spans)
    counts_N = np.maximum(lengths_N[:, None] - np.arange(smallest - 1, largest), 0).sum(axis=1)
    return _Part(Ragged(values, _offsets(counts_N)), is_whole, smallest, spans)


@functools.lru_cache(maxsize=256)
def _salt(kind: int, size: int) -> np.uint64:
    # Kind and size in one number, times an odd one, so that no two of them share a salt.
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


def _interleave(parts: Sequence[Ragged]) -> Ragged:
    """Return the rows of all parts as one: in each row the values of the first part, then those of the second, ..."""
    if len(parts) == 1:
        return parts[0]
    if len(parts[0]) == 1:
        values = np.concatenate([part.values for part in parts])
        return Ragged(values, np.array([0, len(values)]))
    # Rows of several parts are as long as the parts' rows together, so their offsets add up.
    offsets = np.sum([part.offsets for part in parts], axis=0)
    values = np.empty(offsets[-1], dtype=np.uint64)
    begins = offsets[:-1].copy()
    for part in parts:
        lengths_N = part.lengths_N
        # The row of a part begins where the parts before it have stopped in the same row.
        values[np.arange(len(part.values)) + np.repeat(begins - part.offsets[:-1], lengths_N)] = part.values
        begins += lengths_N
    return Ragged(values, offsets)
