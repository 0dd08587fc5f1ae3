"""What can be read by address, object by object, whoever keeps it; it knows no storage."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

__all__ = ["ReadableStore", "StoredObject"]


class StoredObject(msgspec.Struct, frozen=True):
    """An object as its store tells of it.

    Attributes:
        path: In the store.
        size: In bytes.
        version: Changes with its content.
    """

    path: str
    size: int
    version: str


class ReadableStore(Protocol):
    """Objects by their paths."""

    @property
    def address(self) -> str:
        """What stands before the path in an address; where names move, of what they mean now."""
        ...

    def list(self, folder: str) -> list[StoredObject]:
        """Return the objects of a folder, those in folders of it, too, in the order of their paths."""
        ...

    def find(self, path: str) -> StoredObject | None:
        """Return what stands at a path, None where nothing does."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return a small object's content, None where nothing stands there."""
        ...

    def fetch(self, path: str, target: Path, version: str) -> None:
        """Write an object to a file.

        Raises:
            StorageError: It has another version by now, or cannot be read.
        """
        ...
