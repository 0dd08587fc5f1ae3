"""The raw files, or the artifact, that an address names, as copies on this machine; it reads none of them."""

from __future__ import annotations

import fnmatch
import glob
from pathlib import Path, PurePosixPath

from yanmo.artifacts.copies import copy_artifact, copy_objects, join_path, open_store
from yanmo.artifacts.placing import MANIFEST
from yanmo.data.containers import EXTENSIONS, SHEETS, kind_of
from yanmo.errors import DataError
from yanmo.integrations.stored_objects import ReadableStore, StoredObject

__all__ = ["copy_sources"]

NOTED, NOTES = ".txt", ".ann"
"""Ends of names of a text of brat and of what is noted about it."""
COMPANIONS = (NOTES, "seq.in", "seq.out")
"""Ends of names of files that are read because of another one, beside which a copy does not stand."""


def copy_sources(address: str) -> list[Path]:
    """Return the copies of what an address names: an artifact, a file, or the files of a folder or a pattern.

    Raises:
        DataError: Nothing stands there that can be read.
        StorageError: The bucket cannot be read.
    """
    bucket, path = open_store(address)
    if path and (found := bucket.find(path)):
        notes = str(PurePosixPath(path).with_suffix(NOTES))
        beside = {notes} if path.endswith(NOTED) and bucket.find(notes) else set()
        return copy_objects(bucket, _alone(address, [found], beside))
    if bucket.find(join_path(path, MANIFEST)):
        return [copy_artifact(address)]
    chosen, beside = _in_folder(bucket, address, path)
    return copy_objects(bucket, _alone(address, chosen, beside))


def _in_folder(bucket: ReadableStore, address: str, path: str) -> tuple[list[StoredObject], set[str]]:
    """Return the objects of a folder that can be read, or match the pattern of the last name, and the paths of all."""
    folder, pattern = path, "*"
    if glob.has_magic(path):
        folder, pattern = path.rpartition("/")[0], path.rpartition("/")[2]
    inside = [one for one in bucket.list(folder) if PurePosixPath(one.path).parent == PurePosixPath(folder or ".")]
    named = [one for one in inside if PurePosixPath(one.path).name[0] not in "._"]
    found = [one for one in named if fnmatch.fnmatchcase(PurePosixPath(one.path).name, pattern)]
    chosen = [one for one in found if kind_of(Path(one.path)) in (*EXTENSIONS, *SHEETS)]
    if not chosen:
        raise DataError(
            f"There is nothing to read at {address}: {len(inside)} objects in the folder, and none that can be read.",
            hint=f"Name an object, a folder, or a pattern. Files that can be read: {', '.join(EXTENSIONS)}.",
        )
    return chosen, {one.path for one in inside}


def _alone(address: str, objects: list[StoredObject], beside: set[str]) -> list[StoredObject]:
    """Refuse files that are read together with others beside them.

    Raises:
        DataError: There is one.
    """
    for one in objects:
        is_noted = one.path.endswith(NOTED) and str(PurePosixPath(one.path).with_suffix(NOTES)) in beside
        if is_noted or one.path.endswith(COMPANIONS):
            raise DataError(
                f"{one.path} at {address} belongs to a file beside it.",
                hint="Copy both to this machine, and name them.",
            )
    return objects
