"""Frames of one table that are finished one after the other and outlive the process; it knows no column's meaning.

Each frame is a file of its own, and a line of the ledger says that it is whole, with its digest and the facts that
belong to it. Whoever was killed reads them back and goes on after them. A torn file or line counts for nothing, so
the disk is synced every few seconds only: a kill costs the frame that was in the making, a power cut some more.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from yanmo.artifacts.durable import sync
from yanmo.artifacts.frames import PART_BYTES, PART_ROWS
from yanmo.artifacts.identity import file_digest
from yanmo.artifacts.parquet import join_parquet, read_parquet, write_parquet

__all__ = ["FrameLedger"]

logger = logging.getLogger(__name__)

LEDGER = "finished.jsonl"
SYNC_SECONDS = 5.0


class LedgerLine(msgspec.Struct, frozen=True):
    """What the ledger says of one frame: the digest of its file, and what was noted with it."""

    sha256: str
    facts: dict[str, Any]


class FrameLedger:
    """The finished frames of a table, all with the same columns.

    Args:
        folder: Where they are kept, held by this process alone; it is made if needed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lines: list[LedgerLine] = []
        self._unsynced: list[Path] = []
        self._synced_at = time.monotonic()
        self._write(_read_lines(folder / LEDGER))

    def __len__(self) -> int:
        """Return how many frames are finished."""
        return len(self._lines)

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What was noted with each frame."""
        return [line.facts for line in self._lines]

    def read(self) -> Iterator[tuple[pl.DataFrame, dict[str, Any]]]:
        """Yield the finished frames with their facts; where a file is damaged, it and those after it count no more."""
        for number, line in enumerate(self._lines):
            path = self._path(number)
            if not path.is_file() or file_digest(path) != line.sha256:
                logger.warning("%s is damaged: what comes from there on is made anew.", path)
                self.keep(number)
                return
            yield read_parquet(path), line.facts

    def keep(self, num_frames: int) -> None:
        """Count only the first frames from now on."""
        self._write(self._lines[:num_frames])

    def append(self, frame: pl.DataFrame, facts: Mapping[str, Any]) -> None:
        """Keep one more frame, with JSON values that belong to it."""
        # The file first, then its line: a file without a line counts for nothing and is written again.
        path = self._path(len(self._lines))
        write_parquet(frame, path)
        self._lines.append(LedgerLine(file_digest(path), dict(facts)))
        with (self._folder / LEDGER).open("ab") as file:
            file.write(_as_bytes(self._lines[-1]))
        self._unsynced.append(path)
        if time.monotonic() >= self._synced_at + SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Make what was appended last through a power cut."""
        # Frames before the ledger that names them, and last the folder that names all of these files.
        for path in (*self._unsynced, self._folder / LEDGER, self._folder):
            sync(path)
        self._unsynced, self._synced_at = [], time.monotonic()

    def put_together(self, path: Path) -> None:
        """Write one Parquet file of all frames; equal frames give equal bytes, whenever they were finished."""
        parts = [self._path(number) for number in range(len(self._lines))]
        if len(parts) == 1:
            shutil.copyfile(parts[0], path)
            return
        first = read_parquet(parts[0])
        # The size comes from the rows alone and not from how the parts came to be cut: that would differ after a kill.
        row_bytes = max(int(first.estimated_size()) // max(first.height, 1), 1)
        join_parquet(parts, path, row_group_size=max(1, min(PART_ROWS, PART_BYTES // row_bytes)))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"

    def _write(self, lines: list[LedgerLine]) -> None:
        """Let these lines be the ledger; what is left of a torn one must not stand before the next."""
        self._lines = lines
        partial = self._folder / f"{LEDGER}.partial"
        partial.write_bytes(b"".join(map(_as_bytes, lines)))
        partial.replace(self._folder / LEDGER)


def _as_bytes(line: LedgerLine) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def _read_lines(path: Path) -> list[LedgerLine]:
    """Return the lines of a ledger as far as they are whole."""
    lines: list[LedgerLine] = []
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
        try:
            found = msgspec.json.decode(line, type=LedgerLine)
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        # A line that lacks its end may be whole JSON by chance, but the next one would be glued to it.
        if not line.endswith(b"\n"):
            break
        lines.append(found)
    return lines
