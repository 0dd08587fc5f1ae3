"""Known units, and known endings of units that are not: what the ``hmm`` family looks up; whole columns at once.

It knows no label and no weight: what is found is the number of a row of somebody's table.

Source: Brants 2000, "TnT: A Statistical Part-of-Speech Tagger", section 2.3 (handling of unknown words); Samuelsson
1993, "Morphological Tagging Based Entirely on Bayesian Inference".

Legend: U units, W known units, S known endings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray
from yanmo.text.unit_views import UnitViews
from yanmo.text.units import HashArray

__all__ = ["LONGEST_ENDING", "UnitEndings", "ending_hashes", "unit_hashes"]

LONGEST_ENDING = 10
"""Letters of the longest endings that are looked for."""
_CAPITAL = np.uint64(0xA0761D6478BD642F)
_EMPTY = np.uint64(0)


@dataclass(frozen=True)
class UnitEndings:
    """Hashes of the units and endings that have rows in a table: first the units, then the endings.

    The empty ending, with a capital letter in front and without one, is an ending like the others.

    Attributes:
        words_W: Of the units, sorted, uint64.
        endings_S: Of the endings, sorted, uint64.
    """

    words_W: HashArray
    endings_S: HashArray

    def find(self, surfaces: Sequence[str]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the row of every unit, or of the longest known ending of one that is not known, and which are not.

        Args:
            surfaces: The units.
        """
        views = UnitViews(surfaces)
        places_U, is_known_U = _look_up(unit_hashes(views), self.words_W)
        unknown = np.flatnonzero(~is_known_U)
        if len(unknown):
            rest = UnitViews([surfaces[unit] for unit in unknown.tolist()])
            found = np.full(len(unknown), -1, dtype=np.int64)
            for length in range(LONGEST_ENDING, -1, -1):
                places, is_known = _look_up(ending_hashes(rest, length), self.endings_S)
                fresh = is_known & (found < 0)
                found[fresh] = places[fresh] + len(self.words_W)
            # Where training met no capital letter, the last row, whichever that is, still says something.
            places_U[unknown] = np.where(found < 0, len(self.words_W) + len(self.endings_S) - 1, found)
        return places_U, ~is_known_U


def unit_hashes(views: UnitViews) -> HashArray:
    """Return the hash of every unit, uint64, shape (U,)."""
    return views.view("unit")


def ending_hashes(views: UnitViews, length: int) -> HashArray:
    """Return the hash of the last few letters of every unit, and of whether it begins with a capital one, shape (U,).

    Args:
        views: The units.
        length: How many letters, at least 0; of a shorter unit all of it.
    """
    hashes_U = views.view(f"suffix{length}") if length else np.full(len(views.lengths_U), _EMPTY)
    return np.where(views.is_capital_U, hashes_U ^ _CAPITAL, hashes_U)


def _look_up(hashes_U: HashArray, sorted_W: HashArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Return where each hash stands in the list, or would stand, and whether it does."""
    if not len(sorted_W):
        return np.zeros(len(hashes_U), dtype=np.int64), np.zeros(len(hashes_U), dtype=np.bool_)
    places_U = np.minimum(np.searchsorted(sorted_W, hashes_U), len(sorted_W) - 1)
    return places_U, sorted_W[places_U] == hashes_U
