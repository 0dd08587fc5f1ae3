"""Parts of a result that are finished in any order and outlive the process; it knows no content of theirs.

A part is one or several files under names that its number makes, put there whole by whoever made them. A line of the
ledger says that it is finished, with the digests of its files and the facts that belong to it, and is on disk before
anybody relies on it. Whoever was killed finds the parts that are finished, and makes the others. A file without a line
counts for nothing, nor does a torn line or a file that is not what its line says.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from yanmo.artifacts.durable import put, sync
from yanmo.artifacts.identity import file_digest
from yanmo.errors import InternalError

__all__ = ["FinishedPart", "Ledger", "PartLedger", "part_name", "put_part"]

logger = logging.getLogger(__name__)

LEDGER = "finished.jsonl"


class FinishedPart(msgspec.Struct, frozen=True):
    """What the ledger says of one finished part.

    Attributes:
        number: Its place among all parts, from 0.
        files: Ending of each of its files to the digest.
        facts: JSON values that belong to it.
    """

    number: int
    files: dict[str, str]
    facts: dict[str, Any]


class Ledger(Protocol):
    """What knows which parts are finished."""

    @property
    def parts(self) -> list[FinishedPart]:
        """The finished parts, in the order of their numbers."""
        ...

    def __contains__(self, number: object) -> bool:
        """Return whether a part is finished."""
        ...

    def add(self, part: FinishedPart) -> None:
        """Say, lastingly, that one more part is finished."""
        ...


def part_name(number: int, ending: str, mark: str = "") -> str:
    """Return the name of a part's file; a mark tells the work that it is made for."""
    return f"part-{number:06}{mark and f'-{mark}'}.{ending}"


def put_part(folder: Path | str, number: int, ending: str, write: Callable[[Path], object]) -> str:
    """Write one file of a part beside its place and put it there whole; return its digest.

    Two processes may make the same part at once, where one of them was taken for lost: each writes a file of its own,
    and the last one to end replaces the other's by equal bytes.

    Args:
        folder: Of all parts.
        number: The part's.
        ending: The file's.
        write: Gets the path to write to.
    """
    path = Path(folder) / part_name(number, ending)
    partial = path.with_name(f".{path.stem}-{platform.node()}-{os.getpid()}.partial.{ending}")
    write(partial)
    digest = file_digest(partial)
    put(partial, path)
    return digest


class PartLedger:
    """The finished parts of one result.

    Args:
        folder: Where they are kept; only this process writes the ledger. It is made if needed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._parts: dict[int, FinishedPart] = {}
        for part in _read_lines(folder / LEDGER):
            if self._is_whole(part):
                self._parts[part.number] = part
        # What is left of a torn line must not stand before the next one.
        partial = folder / f"{LEDGER}.partial"
        partial.write_bytes(b"".join(map(_as_bytes, self._parts.values())))
        put(partial, folder / LEDGER)

    def __len__(self) -> int:
        """Return how many parts are finished."""
        return len(self._parts)

    def __contains__(self, number: object) -> bool:
        """Return whether a part is finished."""
        return number in self._parts

    @property
    def parts(self) -> list[FinishedPart]:
        """The finished parts, in the order of their numbers."""
        return [self._parts[number] for number in sorted(self._parts)]

    def add(self, part: FinishedPart) -> None:
        """Say that one more part is finished; it is so, even through a power cut, when this returns.

        Raises:
            InternalError: It was finished before, with other bytes.
        """
        before = self._parts.setdefault(part.number, part)
        if before.files != part.files:
            raise InternalError(f"Part {part.number} was made twice in {self.folder}, with other bytes.")
        if before is not part:
            return
        with (self.folder / LEDGER).open("ab") as file:
            file.write(_as_bytes(part))
        sync(self.folder / LEDGER)

    def paths(self, ending: str) -> list[Path]:
        """Return the files of all parts with this ending, in order."""
        return [self.folder / part_name(part.number, ending) for part in self.parts]

    def concatenate(self, ending: str, path: Path) -> None:
        """Write one file of the bytes of all parts."""
        with path.open("wb") as whole:
            for part in self.paths(ending):
                with part.open("rb") as file:
                    shutil.copyfileobj(file, whole)

    def _is_whole(self, part: FinishedPart) -> bool:
        for ending, digest in part.files.items():
            path = self.folder / part_name(part.number, ending)
            if not path.is_file() or file_digest(path) != digest:
                logger.warning("%s is damaged: it is made anew.", path)
                return False
        return True


def _as_bytes(part: FinishedPart) -> bytes:
    return msgspec.json.encode(part) + b"\n"


def _read_lines(path: Path) -> list[FinishedPart]:
    """Return the lines of a ledger as far as they are whole."""
    parts: list[FinishedPart] = []
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
        try:
            found = msgspec.json.decode(line, type=FinishedPart)
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        # A line that lacks its end may be whole JSON by chance, but the next one would be glued to it.
        if not line.endswith(b"\n"):
            break
        parts.append(found)
    return parts
