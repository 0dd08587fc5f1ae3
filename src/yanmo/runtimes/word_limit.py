"""How many words of a sentence a parser reads; each chooses among all of them, so a book would fill the memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Ragged
from yanmo.text.inputs import Units

__all__ = ["MAX_WORDS", "first_words"]

MAX_WORDS = 1000


def first_words(units: Units) -> tuple[Units, npt.NDArray[np.bool_]]:
    """Return the units of N texts without those that are too far from the beginning, and which texts had such ones."""
    lengths_N, offsets = units.places.lengths_N, units.places.offsets
    is_long_N = lengths_N > MAX_WORDS
    if not is_long_N.any():
        return units, is_long_N
    kept_N = np.minimum(lengths_N, MAX_WORDS)
    ends = np.concatenate(([0], np.cumsum(kept_N))).astype(np.int64)
    kept = np.arange(int(ends[-1])) + np.repeat(offsets[:-1] - ends[:-1], kept_N)
    kinds_U = None if units.kinds_U is None else units.kinds_U[kept]
    return Units(units.surfaces.take(kept), Ragged(units.places.values[kept], ends), units.rule, kinds_U), is_long_N
