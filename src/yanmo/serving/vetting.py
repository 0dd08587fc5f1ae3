"""A Bundle that somebody offers to a running service: looked at from outside before anything of it is loaded."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from yanmo.artifacts.base import MANIFEST
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError

__all__ = ["open_inside"]

MAX_FILES = 10_000
MAX_BYTES = 16 * 2**30


def open_inside(folder: Path, path: str) -> Bundle:
    """Return a Bundle below a folder; its files are whole, plain, named in its manifest and of bounded size.

    Args:
        folder: Where Bundles may come from.
        path: Of the Bundle, relative to that, with forward slashes.

    Raises:
        ArtifactError: It is not there, or not like that.
    """
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path or PurePosixPath(path).is_absolute() or ".." in parts:
        raise ArtifactError(f"{path!r} is no path below the folder of models.")
    root = folder.resolve()
    found = root.joinpath(*parts)
    if found.resolve() != found or not found.is_dir():
        raise ArtifactError(f"{found} is no folder, or stands behind a link.")
    names = _plain_files(found)
    bundle = Bundle.open(found)
    unknown = sorted(names - set(bundle.manifest.files) - {MANIFEST})
    if unknown:
        raise ArtifactError(f"{found} has the file {unknown[0]!r}, which its manifest does not name.")
    return bundle


def _plain_files(folder: Path) -> set[str]:
    """Return the relative names of all files.

    Raises:
        ArtifactError: There is a link or a special file, or there is too much.
    """
    names: set[str] = set()
    num_bytes = 0
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise ArtifactError(f"{path} is a link or no plain file.")
            if stat.S_ISREG(found.st_mode):
                names.add(path.relative_to(folder).as_posix())
                num_bytes += found.st_size
        if len(names) > MAX_FILES or num_bytes > MAX_BYTES:
            raise ArtifactError(f"{folder} has more than {MAX_FILES} files or {MAX_BYTES} bytes.")
    return names
