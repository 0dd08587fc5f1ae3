"""Texts as sets of character n-grams, and small signatures by which similar sets are found; it knows no rows.

Width, traditional forms, case and white space are folded first. All texts of a column are hashed at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray, Ragged
from yanmo.text.clean import clean_column

__all__ = ["NUM_BANDS", "band_hashes", "jaccard", "shingle", "unique_shingles"]

Hashes = npt.NDArray[np.uint32]

FOLDING = ("unicode_nfkc", "simplify_chinese", "lowercase", "collapse_whitespace")
WIDTH = 4
"""Characters of an n-gram; a shorter text is one n-gram."""
NUM_BANDS = 14
BAND_ROWS = 7
"""Two sets of similarity s share a band with probability 1 - (1 - s ** 7) ** 14: 0.995 at 0.85, 0.0002 at 0.2."""
PIECE = 1 << 16
"""Hashes that are worked on at a time: with more of them, they no longer fit a core's own cache."""
SEED = 20_110_322
LARGEST = np.uint32(0xFFFFFFFF)


def shingle(texts: Sequence[str]) -> Ragged:
    """Return the hashes of each text's n-grams, uint32 as int64, in the order of the text; at least one a text.

    Args:
        texts: N texts.
    """
    folded = clean_column(list(texts), FOLDING)
    # Filled up at the end, so that a short text has an n-gram, too.
    padded = [text if len(text) >= WIDTH else text.ljust(WIDTH, "\0") for text in folded]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    ends_N = np.cumsum([len(text) for text in padded], dtype=np.int64)
    lengths_N = np.diff(ends_N, prepend=0)
    if not len(codes):
        return Ragged(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
    # A polynomial of the characters, then mixed so that all bits depend on all of them.
    hashes = np.zeros(len(codes) - WIDTH + 1, dtype=np.uint64)
    for place in range(WIDTH):
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes += codes[place : place + len(hashes)]
    hashes ^= hashes >> np.uint64(32)
    hashes *= np.uint64(0xD6E8FEB86659FD93)
    hashes ^= hashes >> np.uint64(32)
    # Those that begin in one text and end in the next are none.
    is_within = np.ones(len(codes), dtype=bool)
    for place in range(1, WIDTH):
        is_within[ends_N - place] = False
    kept = (hashes & np.uint64(LARGEST))[is_within[: len(hashes)]].astype(np.int64)
    return Ragged(kept, np.concatenate([[0], np.cumsum(lengths_N - WIDTH + 1)]))


def band_hashes(shingles: Ragged) -> Hashes:
    """Return a hash for each band of each set, uint32, shape (N, NUM_BANDS): similar sets share one of them.

    Args:
        shingles: Hashes of the n-grams of N texts, each with at least one.

    Source: Broder 1997, "On the resemblance and containment of documents", section 3 (min-wise hashing); Leskovec,
        Rajaraman, Ullman 2020, "Mining of Massive Datasets", section 3.4 (bands).
    """
    random = np.random.default_rng(SEED)
    num_hashes = NUM_BANDS * BAND_ROWS
    # Odd, so that the multiplication maps all numbers of 32 bits one to one.
    factors = random.integers(0, 1 << 31, num_hashes, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    shifts = random.integers(0, 1 << 32, num_hashes, dtype=np.uint32)
    values, offsets_N = shingles.values.astype(np.uint32), shingles.offsets
    bands = np.zeros((len(shingles), NUM_BANDS), dtype=np.uint32)
    start = 0
    while start < len(shingles):
        stop = max(int(np.searchsorted(offsets_N, offsets_N[start] + PIECE, side="right")) - 1, start + 1)
        piece = values[offsets_N[start] : offsets_N[stop]]
        begins = offsets_N[start:stop] - offsets_N[start]
        for number, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
            least = np.minimum.reduceat(piece * factor + shift, begins)
            band = bands[start:stop, number // BAND_ROWS]
            band *= np.uint32(0x01000193)
            band ^= least
        start = stop
    return bands


def unique_shingles(shingles: Ragged) -> Ragged:
    """Return the sets: each text's hashes sorted, each once."""
    rows = np.repeat(np.arange(len(shingles)), shingles.lengths_N)
    keys = np.sort((rows.astype(np.uint64) << np.uint64(32)) | shingles.values.astype(np.uint64))
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))[: len(keys)]]
    lengths_N = np.bincount((keys >> np.uint64(32)).astype(np.int64), minlength=len(shingles))
    offsets = np.concatenate([[0], np.cumsum(lengths_N)])
    return Ragged((keys & np.uint64(LARGEST)).astype(np.int64), offsets)


def jaccard(sets: Ragged, left_P: IntArray, right_P: IntArray) -> npt.NDArray[np.float64]:
    """Return the similarity of pairs of sets: what they share of what they have together, 0 to 1, shape (P,).

    Args:
        sets: Of :func:`unique_shingles`.
        left_P: Row numbers of the pairs' first sets.
        right_P: Row numbers of their second ones.
    """
    pairs = np.arange(len(left_P), dtype=np.uint64) << np.uint64(32)
    keys = []
    for side_P in (left_P, right_P):
        taken = sets.take(side_P)
        keys.append(np.repeat(pairs, taken.lengths_N) | taken.values.astype(np.uint64))
    both = np.sort(np.concatenate(keys))
    # Each set has a hash once, so one that stands twice in a pair is in both.
    twice = both[1:][both[1:] == both[:-1]] >> np.uint64(32)
    num_shared_P = np.bincount(twice.astype(np.int64), minlength=len(left_P))
    num_all_P = sets.lengths_N[left_P] + sets.lengths_N[right_P] - num_shared_P
    found: npt.NDArray[np.float64] = num_shared_P / np.maximum(num_all_P, 1)
    return found
