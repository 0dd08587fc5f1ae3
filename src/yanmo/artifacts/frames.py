"""One table in one file from frames that come one after the other, in bounded memory; it knows no column's meaning."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from yanmo.artifacts.parquet import join_parquet, write_parquet

__all__ = ["PART_BYTES", "PART_ROWS", "FrameWriter"]

PART_ROWS = 1 << 16
PART_BYTES = 1 << 25


class FrameWriter:
    """Writes frames with the same columns to a ``.csv``, ``.jsonl`` or ``.parquet`` file; use it as a context manager.

    Parquet has its table of contents at the end and polars writes no file in pieces, so parts are written beside the
    file and put together when it is closed.

    Args:
        path: The file; its extension says the format.
        bom: Whether a ``.csv`` file begins with a byte order mark.
    """

    def __init__(self, path: Path, *, bom: bool = False) -> None:
        self._path = path
        self._bom = bom
        self._parts_dir = path.with_name(f"{path.name}.parts")
        self._heights: list[int] = []
        self._waiting: list[pl.DataFrame] = []
        self._is_parquet = path.suffix == ".parquet"
        self._file = None if self._is_parquet else path.open("wb")
        if self._is_parquet:
            self._parts_dir.mkdir()

    def write(self, frame: pl.DataFrame) -> None:
        """Append the rows of a frame."""
        if self._file is None:
            self._waiting.append(frame)
            num_rows = sum(one.height for one in self._waiting)
            # Rows for short texts, bytes for long ones: either may come first.
            if num_rows >= PART_ROWS or sum(one.estimated_size() for one in self._waiting) >= PART_BYTES:
                self._write_part()
        elif self._path.suffix == ".csv":
            is_first = not self._heights
            frame.write_csv(self._file, include_header=is_first, include_bom=self._bom and is_first)
            self._heights.append(frame.height)
        else:
            frame.write_ndjson(self._file)

    def write_text(self, parts: Iterable[str]) -> None:
        """Append texts as they are, to a file that is neither a table nor JSON."""
        if self._file is not None:
            self._file.writelines(part.encode() for part in parts)

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
            return
        if self._waiting:
            self._write_part()
        parts = [self._part(number) for number in range(len(self._heights))]
        if len(parts) == 1:
            parts[0].rename(self._path)
        else:
            join_parquet(parts, self._path, row_group_size=max(self._heights))
        shutil.rmtree(self._parts_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif self._file is not None:
            # The disk may be full; the error that is on its way says more.
            with contextlib.suppress(OSError):
                self._file.close()

    def _part(self, number: int) -> Path:
        return self._parts_dir / f"{number:06}.parquet"

    def _write_part(self) -> None:
        frame = pl.concat(self._waiting)
        write_parquet(frame, self._part(len(self._heights)))
        self._heights.append(frame.height)
        self._waiting = []
