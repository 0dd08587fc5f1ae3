"""How an artifact appears at an address: every object by put-if-absent, the manifest last; it knows no kind.

A bucket renames no folder, so what is on its way is marked by an object in ``.work``. Whoever reads looks for the
manifest, and so finds an artifact that is whole, or none.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from yanmo.artifacts.copies import join_path
from yanmo.artifacts.placing import MANIFEST
from yanmo.errors import ArtifactError, BusyError, StorageError
from yanmo.integrations.object_storage import Bucket, open_bucket

__all__ = ["WORK_FOLDER", "check_address", "remove_all", "upload"]

WORK_FOLDER = ".work"
"""Folder at an address of what is on its way."""
MARK = f"{WORK_FOLDER}/upload"


def check_address(address: str, *, replace: bool) -> None:
    """Refuse an address at which something stands, before any work is done.

    Args:
        address: Of a folder.
        replace: Whether an artifact there is replaced, or what a command left that was cut off.

    Raises:
        ArtifactError: An artifact stands there that is not to be replaced, or other objects.
        StorageError: The bucket cannot be read.
    """
    bucket, folder = open_bucket(address)
    names = [_inside(folder, one.path) for one in bucket.list(folder)]
    if MANIFEST in names and not replace:
        raise ArtifactError(f"{address} exists already.", hint="Choose another --out, or replace it: --force.")
    if names and not any(name == MANIFEST or name.startswith(f"{WORK_FOLDER}/") for name in names):
        raise ArtifactError(
            f"{address} holds {len(names)} objects that are no artifact, such as {names[0]}.",
            hint="Choose another --out, or remove them.",
        )


def upload(folder: Path, address: str, *, replace: bool) -> None:
    """Write the files of an artifact's folder to an address.

    Raises:
        BusyError: Another command writes there, or was cut off.
        ArtifactError: Something stands there that is not to be replaced.
        StorageError: The bucket cannot be written.
    """
    check_address(address, replace=replace)
    bucket, place = open_bucket(address)
    if replace:
        remove_all(bucket, place)
    with _marked(bucket, place, address):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
        for file in [*files, folder / MANIFEST]:
            if not bucket.put_new(join_path(place, file.relative_to(folder).as_posix()), file):
                raise ArtifactError(
                    f"{address}/{file.name} was written by somebody else meanwhile.", hint="Choose another --out."
                )


def remove_all(bucket: Bucket, folder: str) -> None:
    """Remove what stands in a folder; the manifest first, so that nobody takes the rest for an artifact."""
    paths = [one.path for one in bucket.list(folder)]
    manifest = join_path(folder, MANIFEST)
    if manifest in paths:
        bucket.delete([manifest])
    bucket.delete([path for path in paths if path != manifest])


@contextlib.contextmanager
def _marked(bucket: Bucket, folder: str, address: str) -> Iterator[None]:
    """Hold an address for this process alone."""
    mark = join_path(folder, MARK)
    if not bucket.put_new(mark, secrets.token_bytes(8)):
        raise BusyError(
            f"Another command writes to {address}, or was cut off there.",
            hint="Wait until it has ended; what one left that was cut off is replaced by --force.",
        )
    try:
        yield
    except BaseException:
        # Nothing half-written stays, where the bucket still answers.
        with contextlib.suppress(StorageError):
            remove_all(bucket, folder)
        raise
    bucket.delete([mark])


def _inside(folder: str, path: str) -> str:
    return path.removeprefix(f"{folder}/" if folder else "")
