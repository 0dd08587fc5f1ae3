"""A Bundle that is to be served: looked at from outside before anything of it is loaded."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.placing import MANIFEST
from yanmo.errors import ArtifactError

__all__ = ["open_inside", "open_vetted", "vet"]

MAX_FILES = 10_000
MAX_BYTES = 16 * 2**30


def open_inside(folder: Path, path: str) -> Bundle:
    """Return a Bundle below a folder.

    Args:
        folder: Where Bundles may come from.
        path: Of the Bundle, relative to that, with forward slashes.

    Raises:
        ArtifactError: It is not there, stands behind a link, or is refused by :func:`vet`.
    """
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path or PurePosixPath(path).is_absolute() or ".." in parts:
        raise ArtifactError(f"{path!r} is no path below the folder of models.")
    with _readable(path):
        found = folder.resolve().joinpath(*parts)
        # The folder's own links are resolved by then, so a difference is a link below it.
        if os.path.realpath(found) != str(found) or not found.is_dir():
            raise ArtifactError(f"{found} is no folder, or stands behind a link.")
    return open_vetted(found)


def open_vetted(path: Path) -> Bundle:
    """Return the Bundle at a path, of which nothing was read before its files were found to be plain.

    Raises:
        ArtifactError: It is not there or not whole, or is refused by :func:`vet`.
    """
    with _readable(path):
        _plain_files(path)
        bundle = Bundle.open(path)
    vet(bundle)
    return bundle


def vet(bundle: Bundle) -> None:
    """Refuse a Bundle whose files are not all plain, named in its manifest, and together of bounded size.

    Raises:
        ArtifactError: As said.
    """
    with _readable(bundle.path):
        unknown = sorted(_plain_files(bundle.path) - set(bundle.manifest.files) - {MANIFEST})
    if unknown:
        raise ArtifactError(
            f"{bundle.path} has the file {unknown[0]!r}, which its manifest does not name.",
            hint="Move it elsewhere; artifacts are never edited.",
        )


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Say of whatever the file system refuses that the Bundle is refused."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {os.strerror(error.errno or 0)}.") from error


def _plain_files(folder: Path) -> set[str]:
    """Return the relative names of all files.

    Raises:
        ArtifactError: There is a link or a special file, or there is too much.
    """
    names: set[str] = set()
    num_bytes = 0
    for parent, folders, files in os.walk(folder):
        # os.walk enters no link, but names links to folders among the folders.
        for name in [*folders, *files]:
            path = Path(parent, name)
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise ArtifactError(f"{path} is a link or no plain file.")
            if stat.S_ISREG(found.st_mode):
                names.add(path.relative_to(folder).as_posix())
                num_bytes += found.st_size
        # Asked folder by folder, so that one without an end is not walked to its end.
        if len(names) > MAX_FILES or num_bytes > MAX_BYTES:
            raise ArtifactError(f"{folder} has more than {MAX_FILES} files or {MAX_BYTES} bytes.")
    return names
