"""Files that last through a power cut: synced, and put in their place by one rename; it knows none of their content."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["put", "sync"]


def put(partial: Path, target: Path) -> None:
    """Give a file that was written beside its place that place: after a power cut it is there whole, or not at all.

    Raises:
        OSError: The disk is full or fails.
    """
    # Content first, for a rename can reach the disk before what it names; then the folder, which holds the name.
    sync(partial)
    _rename(partial, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Make a file's or folder's content last through a power cut."""
    is_windows = os.name == "nt"
    # Windows opens no folder, and syncs only what is open for writing.
    if is_windows and path.is_dir():
        return
    # Elsewhere read-only is enough, and a folder can be opened in no other way.
    descriptor = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(source: Path, target: Path) -> None:
    source.replace(target)
