"""Rows that wait on disk, in the order in which they came, while others are read; it knows no column's meaning."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

__all__ = ["Spill"]

# 32 MB: few files, each small enough to be read back as a whole.
PIECE_BYTES = 1 << 25


class Spill:
    """Rows on disk; use it as a context manager, which removes them.

    Args:
        folder: Where they wait; it is made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._waiting: list[pl.DataFrame] = []
        self._num_pieces = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Append the rows of a frame, which has the columns of all others."""
        self._waiting.append(frame)
        if sum(one.estimated_size() for one in self._waiting) >= PIECE_BYTES:
            self._write_piece()

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield all rows, in pieces of some megabytes."""
        if self._waiting:
            self._write_piece()
        for number in range(self._num_pieces):
            with self._piece(number).open("rb") as file:
                yield pl.read_ipc(file)

    def take(self, chosen: pl.Series) -> Iterator[pl.DataFrame]:
        """Yield the rows at which a mask is true, in pieces of some megabytes.

        Args:
            chosen: Boolean, one value a row of all that were written.
        """
        place = 0
        for frame in self.read():
            yield _with_own_memory(frame.filter(chosen[place : place + frame.height]))
            place += frame.height

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _piece(self, number: int) -> Path:
        return self._folder / f"{number:06}.arrow"

    def _write_piece(self) -> None:
        with self._piece(self._num_pieces).open("wb") as file:  # polars would take a path for a pattern
            pl.concat(self._waiting).write_ipc(file, compression="lz4")
        self._waiting, self._num_pieces = [], self._num_pieces + 1


def _with_own_memory(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the same rows without the texts of those that were filtered out, which polars keeps as long as any."""
    copy = io.BytesIO()
    frame.write_ipc(copy)
    copy.seek(0)
    return pl.read_ipc(copy)
