"""What a task reads, column by column, and how a text that is too long is cut; it knows no task and no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from msgspec import Struct
from msgspec.structs import replace

from yanmo.arrays import IntArray, Ragged
from yanmo.text.surfaces import Surfaces
from yanmo.text.unit_places import UnitRule

__all__ = ["Inputs", "Item", "Units", "Windows"]

Item = str | tuple[str, ...]
"""One row of inputs: a text, or the texts of several columns, such as a pair."""


class Units(Struct, frozen=True):
    """The parts of N texts that are decided about one by one.

    Attributes:
        surfaces: What a model reads of all U units, each cleaned by itself.
        places: Where each begins and ends in the raw text, int64, shape (U, 2), of N rows.
        rule: What a unit is.
        kinds_U: The number of each unit's kind, such as its part of speech, from 1; None where nobody has told it.
    """

    surfaces: Surfaces
    places: Ragged
    rule: UnitRule
    kinds_U: IntArray | None = None

    def take(self, rows: IntArray) -> Self:
        """Return the units of the given rows, in the given order."""
        taken = Ragged(np.arange(len(self.surfaces)), self.places.offsets).take(rows).values
        kinds_U = None if self.kinds_U is None else self.kinds_U[taken]
        return type(self)(self.surfaces.take(taken), self.places.take(rows), self.rule, kinds_U)


class Inputs(Struct, frozen=True):
    """N rows of what a task reads.

    Attributes:
        columns: One column of texts, or several of the same length, in the order of the task's ``inputs``.
        is_segmented: A segmenter has put spaces between the words.
        units: Of the texts, where parts of them are decided about; None where whole texts are.
    """

    columns: tuple[Sequence[str], ...]
    is_segmented: bool = False
    units: Units | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.columns[0])

    @property
    def first(self) -> Sequence[str]:
        """The first column."""
        return self.columns[0]

    @property
    def second(self) -> Sequence[str] | None:
        """The second column of pairs, else None."""
        return self.columns[1] if len(self.columns) > 1 else None

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        chosen = rows.tolist()
        columns = tuple([column[row] for row in chosen] for column in self.columns)
        return replace(self, columns=columns, units=self.units and self.units.take(rows))

    def items(self) -> list[Any]:
        """Return the rows one by one: texts, or tuples of texts."""
        return list(self.first) if len(self.columns) == 1 else list(zip(*self.columns, strict=True))

    @classmethod
    def of_items(cls, items: Sequence[Any], num_columns: int) -> Self:
        """Return rows that were given one by one.

        Args:
            items: N texts; of several columns tuples of so many texts.
            num_columns: How many columns the task reads.
        """
        if num_columns == 1:
            return cls((items,))
        return cls(tuple([item[place] for item in items] for place in range(num_columns)))

    @classmethod
    def of_frame(cls, frame: pl.DataFrame, names: Sequence[str], *, is_segmented: bool = False) -> Self:
        """Return the columns of a frame that the task reads, by name."""
        return cls(tuple(frame[name].to_list() for name in names), is_segmented)


@dataclass(frozen=True)
class Windows:
    """How a text that is longer than a model reads is cut into windows, which are scored one by one and pooled.

    Attributes:
        overlap: Share of a window's own tokens that the window before it has, too; at least 0 and less than 1.
        max_windows: Most windows of one text; what comes after them is not read.
    """

    overlap: float = 0.25
    max_windows: int = 64
