"""The raw files that a user names: one by one, by a folder, or by a pattern, and what belongs to them; it reads none.

A path is a path: what stands there is meant, whatever its name looks like. Only where nothing does, is it a pattern.
"""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from yanmo.artifacts.placing import MANIFEST
from yanmo.counted import counted
from yanmo.data.containers import EXTENSIONS, SHEETS, kind_of
from yanmo.errors import DataError

__all__ = ["companions", "find_files", "is_pattern"]

logger = logging.getLogger(__name__)

SHOWN = 5


def is_pattern(path: Path) -> bool:
    """Return whether nothing stands there and the name has ``*`` or ``?``, or has ``[]`` and matches something."""
    if path.exists() or not glob.has_magic(str(path)):
        return False
    # Brackets stand in the names of files, too: where nothing matches, it is a file that is missing.
    return any(sign in str(path) for sign in "*?") or bool(_matching(path))


def find_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files that are named, those of a folder or a pattern in the order of their names.

    Args:
        paths: Files, folders, patterns. The folder of an artifact stays as it is, and what is not there, too.

    Raises:
        DataError: A folder has no file that can be read, or nothing matches a pattern.
    """
    return tuple(file for path in paths for file in _find(path))


def companions(path: Path) -> list[Path]:
    """Return the files beside one that belong to it: ``seq.out`` to ``seq.in``, brat's ``.ann`` to its ``.txt``."""
    names = {
        path.parent / re.sub(r"\bseq\.in\b", "seq.out", path.name),
        *([path.with_suffix(".ann")] if path.suffix == ".txt" else []),
        *([path.with_suffix(".txt")] if path.suffix == ".ann" else []),
    }
    return sorted(one for one in names - {path} if one.is_file())


def _find(path: Path) -> Iterator[Path]:
    if path.is_dir() and not (path / MANIFEST).is_file():
        yield from _in_folder(path)
    elif is_pattern(path):
        found = _matching(path)
        if not found:
            raise DataError(f"No file matches {path}.", hint="Check the pattern; ** stands for folders at any depth.")
        yield from found
    else:
        yield path


def _matching(path: Path) -> list[Path]:
    # Path.glob takes no absolute pattern.
    found = map(Path, glob.glob(str(path), recursive=True))  # noqa: PTH207
    return sorted(one for one in found if one.is_file())


def _in_folder(folder: Path) -> list[Path]:
    # Hidden files, and what other programs leave beside their parts: _SUCCESS, _metadata.
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name[0] not in "._")
    found = [file for file in files if kind_of(file) in (*EXTENSIONS, *SHEETS)]
    if not found:
        raise DataError(
            f"{folder} is a folder, but no Dataset, and no file in it can be read.",
            hint=f"Files that can be read: {', '.join(EXTENSIONS)}.",
        )
    others = [file.name for file in files if file not in set(found)]
    if others:
        shown = ", ".join(others[:SHOWN]) + (", …" if len(others) > SHOWN else "")
        logger.info("%s: %s left out: %s", folder, counted(len(others), "file"), shown)
    return found
