"""Which n-grams the training texts hold often enough to be trusted: a bitmap over their hashes; it knows no model.

An n-gram that training never met shares its bucket with others, so its embedding is noise. Leaving those out at
prediction is worth about 0.5 points of accuracy on short Chinese titles, and gives the share of unknown n-grams.

Source: Bloom 1970, "Space/Time Trade-offs in Hash Coding with Allowable Errors", Communications of the ACM 13(7).
Differs: one hash function and many bits, so that a look-up is one gather.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Ragged

__all__ = ["keep_seen", "seen_bitmap"]

# The number of bits is the next power of two, so that a shift finds a hash's place. Then 1.6 to 3.1 % of the bits are
# set, and that is the share of unknown hashes that are taken for known ones.
BITS_PER_HASH = 32
MIN_BITS = 1 << 12


def seen_bitmap(hashes: npt.NDArray[np.uint64], *, min_count: int) -> npt.NDArray[np.uint8]:
    """Return a bitmap of the hashes that occur at least ``min_count`` times.

    Args:
        hashes: Of all n-grams of the training texts, in any order.
        min_count: At least 1.

    Returns:
        uint8, a power of two long, eight hashes a byte. About 3 % of other hashes are taken for known ones.
    """
    distinct, counts = np.unique(hashes, return_counts=True)
    kept = distinct[counts >= min_count]
    num_bits = max(MIN_BITS, 1 << (BITS_PER_HASH * max(len(kept), 1) - 1).bit_length())
    bits = np.zeros(num_bits, dtype=np.uint8)
    bits[kept >> _shift(num_bits)] = 1
    return np.packbits(bits, bitorder="little")


def keep_seen(hashes: Ragged, bitmap: npt.NDArray[np.uint8]) -> Ragged:
    """Return the same rows without the hashes that are not in the bitmap.

    Args:
        hashes: uint64 values of N texts.
        bitmap: From :func:`seen_bitmap`.
    """
    places = hashes.values >> _shift(8 * len(bitmap))
    # The byte of each place, and the bit in it, counted from the lowest one as np.packbits wrote them.
    bits = bitmap.take((places >> np.uint64(3)).astype(np.intp)) >> (places & np.uint64(7)).astype(np.uint8)
    is_seen = (bits & 1).astype(np.bool_)
    # How many hashes are kept before each place; read at the old offsets, that gives the new ones.
    num_before = np.zeros(len(is_seen) + 1, dtype=np.int64)
    np.cumsum(is_seen, out=num_before[1:])
    return Ragged(hashes.values[is_seen], num_before[hashes.offsets])


def _shift(num_bits: int) -> np.uint64:
    """The highest bits of a hash choose its place; the lowest choose its bucket."""
    return np.uint64(64 - (num_bits - 1).bit_length())
