"""The units of a column: its code points as one array, their classes, and the words they form; no n-grams yet.

A *unit* is a run of word characters, or one ideograph, kana, emoji or other symbol by itself. White space and control
characters belong to no unit. Apostrophes count as word characters, so that "don't" is one word.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray

__all__ = ["CodePoints", "HashArray", "cjk_share", "code_points", "count_letters", "mix", "units"]

CodePoints = npt.NDArray[np.uint32]
HashArray = npt.NDArray[np.uint64]

# The class of what belongs to no unit must be 0: units() keeps those whose class is not zero.
_NONE, _WORD, _CJK, _SYMBOL = 0, 1, 2, 3
_NUM_CODE_POINTS = 0x110000
# Half-open: radicals, iteration marks and numerals, kana and bopomofo, ideographs of all planes, half-width kana.
_CJK_RANGES = (
    (0x2E80, 0x2FE0), (0x3005, 0x3008), (0x3021, 0x302A), (0x3040, 0x3130), (0x31A0, 0x31C0), (0x31F0, 0x3200),
    (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0xFF66, 0xFFA0), (0x20000, 0x40000),
)  # fmt: skip
# Apostrophes, combining marks, joiners and variation selectors do not end a word.
_WORD_RUNS = re.compile(r"[\w'\u2019\u0300-\u036f\u200d\ufe0f]+")
_VISIBLE_RUNS = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")
# Both are odd: a product with an odd number loses nothing modulo 2^64, nor does the shift between the two products, so
# no two characters have one hash.
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX_AGAIN = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)
BASE = np.uint64(0xC2B2AE3D27D4EB4F)
"""The odd number whose powers weigh the places in a hash."""


def code_points(joined: str) -> CodePoints:
    """Return the code points of a string, uint32; lone surrogates included."""
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")


@functools.lru_cache(maxsize=2)
def _classes(cjk_words: bool) -> npt.NDArray[np.uint8]:
    """Return the class of every code point; with ``cjk_words`` CJK characters are word characters."""
    table = np.zeros(_NUM_CODE_POINTS, dtype=np.uint8)
    # Beyond the second plane there are ideographs only, and characters nobody sees.
    characters = np.arange(0x20000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    for pattern, kind in ((_VISIBLE_RUNS, _SYMBOL), (_WORD_RUNS, _WORD)):
        for match in pattern.finditer(characters):
            table[match.start() : match.end()] = kind
    for first, last in _CJK_RANGES:
        table[first:last] = _WORD if cjk_words else _CJK
    table.flags.writeable = False
    return table


def cjk_share(texts: Sequence[str]) -> float:
    """Return the share of Chinese and Japanese characters among all letters, digits and characters, 0 to 1."""
    num_cjk, num_letters = count_letters(texts)
    return num_cjk / num_letters if num_letters else 0.0


def count_letters(texts: Sequence[str]) -> tuple[int, int]:
    """Return the number of Chinese and Japanese characters, and that of all letters, digits and characters."""
    counts = np.bincount(_classes(cjk_words=False)[code_points("".join(texts))], minlength=4)
    return int(counts[_CJK]), int(counts[_WORD] + counts[_CJK])


def mix(points: CodePoints) -> HashArray:
    """Return a hash of every code point, uint64, never the same for two of them."""
    mixed = points.astype(np.uint64)
    # NUL would be 0 in any power, and one NUL could not be told from two.
    mixed += np.uint64(1)
    mixed *= _MIX
    mixed ^= mixed >> _SHIFT
    mixed *= _MIX_AGAIN
    return mixed


def units(points: CodePoints, mixed: HashArray, *, cjk_words: bool) -> tuple[IntArray, IntArray, HashArray]:
    """Return where the units of a column start and end, and their hashes.

    Args:
        points: Code points of the whole column, separators included.
        mixed: Their hashes, from ``mix``.
        cjk_words: Whether CJK characters are word characters.

    Returns:
        Starts and ends (exclusive), int64, and hashes, uint64, each of shape (number of units,).
    """
    if not len(points):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, mixed
    classes = _classes(cjk_words)[points]
    is_word = classes == _WORD
    # A unit begins at every place but where a word character follows another one.
    begins = np.ones(len(points), dtype=np.bool_)
    np.logical_and(is_word[1:], is_word[:-1], out=begins[1:])
    np.logical_not(begins[1:], out=begins[1:])
    starts = begins.nonzero()[0]
    ends = np.empty_like(starts)
    ends[:-1] = starts[1:]
    ends[-1] = len(points)
    lengths = ends - starts
    places = np.arange(len(points)) - starts.repeat(lengths)
    # Every code point is weighed by the power of the base for its place in the unit. uint64 wraps around, which is the
    # modulus 2^64 that the hash is defined by.
    hashes = np.add.reduceat(mixed * _powers(int(lengths.max()))[places], starts)
    kept = classes[starts].nonzero()[0]
    return starts[kept], ends[kept], hashes[kept]


def _powers(length: int) -> HashArray:
    """Return at least so many powers of the base, the first one 1."""
    # Lengths are rounded up, so that nearly all columns read the same cached table.
    return _cached_powers(1 << max(length - 1, 255).bit_length())


@functools.lru_cache(maxsize=2)
def _cached_powers(length: int) -> HashArray:
    factors = np.full(length, BASE, dtype=np.uint64)
    factors[0] = 1
    powers: HashArray = np.multiply.accumulate(factors)
    return powers
