"""What a model reads of units: each distinct text once, and its number at every unit; it knows no place and no label.

A language has few thousand characters and a file of texts few ten thousand words, so what is done to a text by itself,
such as cleaning and hashing it, is done once for all units that have it.

Legend: U units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np

from yanmo.arrays import IntArray
from yanmo.text.units import CodePoints

__all__ = ["Surfaces"]

FEW = 500
"""Of fewer characters nearly all are distinct, and to look for equal ones takes longer than it saves."""


class Surfaces(Sequence[str]):
    """The texts of U units, looked up when somebody asks for them.

    Args:
        distinct: Every text that some unit has; equal ones may stand there several times.
        number_U: Which of them each unit has, int64.
    """

    def __init__(self, distinct: Sequence[str], number_U: IntArray) -> None:
        self.distinct, self.number_U = distinct, number_U

    @classmethod
    def of(cls, texts: Sequence[str]) -> Surfaces:
        """Return the surfaces that a list of U texts is."""
        if isinstance(texts, Surfaces):
            return texts
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        return cls(list(numbers), np.fromiter(map(numbers.__getitem__, texts), dtype=np.int64, count=len(texts)))

    @classmethod
    def of_characters(cls, points_U: CodePoints) -> Surfaces:
        """Return the surfaces of units of one character each."""
        if len(points_U) < FEW:
            distinct, number_U = points_U, np.arange(len(points_U))
        else:
            # Marks in an array over all code points: many times as fast as sorting those of the units.
            number_P = np.zeros(int(points_U.max()) + 1, dtype=np.int64)
            number_P[points_U] = 1
            distinct = np.flatnonzero(number_P).astype("<u4")
            number_P[distinct] = np.arange(len(distinct))
            number_U = number_P[points_U]
        return cls(distinct.tobytes().decode("utf-32-le", "surrogatepass"), number_U)

    def changed(self, change: Callable[[Sequence[str]], Sequence[str]]) -> Surfaces:
        """Return the surfaces after a change that looks at no neighbor: it is given texts, and returns as many."""
        return Surfaces(change(self.distinct), self.number_U)

    def take(self, units: IntArray) -> Surfaces:
        """Return the surfaces of some units, in the given order."""
        number_U = self.number_U[units]
        if len(number_U) >= len(self.distinct):
            return Surfaces(self.distinct, number_U)
        # Those that are not taken are neither read again nor held.
        used, number_U = np.unique(number_U, return_inverse=True)
        return Surfaces([self.distinct[one] for one in used.tolist()], number_U)

    def __len__(self) -> int:
        return len(self.number_U)

    @overload
    def __getitem__(self, unit: int) -> str: ...
    @overload
    def __getitem__(self, unit: slice) -> list[str]: ...
    def __getitem__(self, unit: int | slice) -> str | list[str]:
        if isinstance(unit, slice):
            return list(map(self.distinct.__getitem__, self.number_U[unit].tolist()))
        return self.distinct[int(self.number_U[unit])]

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return (
            list(self) == list(other) if isinstance(other, Sequence) and not isinstance(other, str) else NotImplemented
        )

    __hash__ = None  # type: ignore[assignment]
