"""What holds about texts that others are written for: the references of each; it knows no model and no measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import polars as pl
from msgspec import Struct

from yanmo.arrays import IntArray

__all__ = ["TARGETS", "TextTruth"]

TARGETS = pl.List(pl.String)
"""The column of a Dataset: the texts that count as right for each row, the first one to be learned."""


class TextTruth(Struct, frozen=True):
    """The references of N rows.

    Attributes:
        references: The texts that count as right; none where nothing is known of a row.
    """

    references: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        """Return N."""
        return len(self.references)

    @property
    def learned(self) -> list[str]:
        """The text that is learned of each row: its first reference, "" where it has none."""
        return [one[0] if one else "" for one in self.references]

    @property
    def num_references(self) -> int:
        """How many texts count as right, of all rows."""
        return sum(map(len, self.references))

    def take(self, rows: IntArray) -> Self:
        """Return the given rows, in the given order."""
        return type(self)([self.references[row] for row in rows.tolist()])
