"""Views of units: the unit itself, in small letters, its kind, shape, first and last letters, each as one hash.

Whole columns, no loop over units. It knows no window, no label and no weight.

Legend: U units, P characters of all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray
from yanmo.text.units import BASE, CodePoints, HashArray, code_points, mix

__all__ = ["UnitViews"]

LONG = 8
"""Longer units count as of this many characters."""
CAPITAL = 4
"""The kind of capital Latin letters."""


class UnitViews:
    """The characters of all units, one after the other, and what is seen of each unit.

    Args:
        surfaces: The units.
    """

    def __init__(self, surfaces: Sequence[str]) -> None:
        lengths_U = np.fromiter(map(len, surfaces), dtype=np.int64, count=len(surfaces))
        if not lengths_U.all():
            # Cleaning may leave nothing of a unit; whoever sums over its characters needs one.
            surfaces = [one or " " for one in surfaces]
            lengths_U = np.maximum(lengths_U, 1)
        self.points: CodePoints = code_points("".join(surfaces))
        self.lengths_U: IntArray = lengths_U
        self.mixed = mix(self.points)

    @functools.cached_property
    def starts_U(self) -> IntArray:
        """Where each unit begins."""
        return np.cumsum(self.lengths_U) - self.lengths_U

    @functools.cached_property
    def ahead_P(self) -> IntArray:
        """How many characters of its unit stand before each character."""
        return np.arange(len(self.points)) - self.starts_U.repeat(self.lengths_U)

    @functools.cached_property
    def kinds_P(self) -> CodePoints:
        """The kind of each character."""
        return _kinds()[self.points]

    @functools.cached_property
    def is_capital_U(self) -> npt.NDArray[np.bool_]:
        """Whether each unit begins with a capital Latin letter."""
        return np.asarray(self.kinds_P[self.starts_U] == CAPITAL)

    def view(self, name: str) -> HashArray:
        """Return the hash of a view of every unit, uint64, shape (U,).

        Args:
            name: ``unit``, ``lower``, ``shape``, ``kind`` of its first character, ``length``; ``prefix`` or ``suffix``
                with a number: so many characters, of a shorter unit all of it.
        """
        if name == "unit":
            return self._sum(self.mixed, self.ahead_P)
        if name == "lower":
            points = self.points
            return self._sum(mix(np.where((points >= 65) & (points <= 90), points + 32, points)), self.ahead_P)
        if name == "shape":
            return self._shape()
        if name in ("kind", "length"):
            lengths_U = np.minimum(self.lengths_U, LONG).astype(np.uint32)
            return mix(self.kinds_P[self.starts_U] if name == "kind" else lengths_U)
        length = int(name.removeprefix("prefix").removeprefix("suffix"))
        behind_P = self.lengths_U.repeat(self.lengths_U) - 1 - self.ahead_P
        return self._part(self.ahead_P if name.startswith("prefix") else behind_P, length)

    def _part(self, places_P: IntArray, length: int) -> HashArray:
        """Return the hash of the characters at the first few places; a shorter unit is its own part."""
        return self._sum(np.where(places_P < length, self.mixed, np.uint64(0)), places_P)

    def _shape(self) -> HashArray:
        # Of a run of one kind the first character alone counts: "2007" and "15" are alike, and "Ab" is not "AB".
        kinds_P, ahead_P = self.kinds_P, self.ahead_P
        changes_P = np.ones(len(kinds_P), dtype=np.bool_)
        changes_P[1:] = (kinds_P[1:] != kinds_P[:-1]) | (ahead_P[1:] == 0)
        runs_P = np.cumsum(changes_P) - 1
        places_P = runs_P - runs_P[self.starts_U].repeat(self.lengths_U)
        return self._sum(np.where(changes_P, mix(kinds_P), np.uint64(0)), places_P)

    def _sum(self, values_P: HashArray, places_P: IntArray) -> HashArray:
        """Return the sum of every unit's values, each weighed by its place."""
        if len(values_P) == len(self.lengths_U):
            return values_P
        powers = np.full(int(places_P.max()) + 2, BASE, dtype=np.uint64)
        powers[0] = 1
        sums: HashArray = np.add.reduceat(values_P * np.multiply.accumulate(powers)[places_P], self.starts_U)
        return sums


@functools.lru_cache(maxsize=1)
def _kinds() -> CodePoints:
    """Return the kind of every code point: 1 ideograph, 2 digit, 3 small, 4 large Latin, 5 other letter, 0 else."""
    kinds = np.zeros(0x110000, dtype=np.uint32)
    # Of letters with marks and of other alphabets only those below U+2000: beyond are marks, symbols and ideographs.
    ranges = (
        (0xC0, 0x2000, 5),
        (0x3400, 0xA000, 1),
        (0x20000, 0x40000, 1),
        (48, 58, 2),
        (97, 123, 3),
        (65, 91, CAPITAL),
    )
    for first, last, kind in ranges:
        kinds[first:last] = kind
    # Full-width digits and letters stand in the same order.
    kinds[0xFF01:0xFF5F] = kinds[0x21:0x7F]
    kinds.flags.writeable = False
    return kinds
