"""The raw files, or the artifact, that an address names, as copies on this machine; it reads none of them."""

from __future__ import annotations

import fnmatch
import glob
from pathlib import Path, PurePosixPath

from yanmo.artifacts.copies import copy_artifact, copy_objects, join_path
from yanmo.artifacts.placing import MANIFEST
from yanmo.data.containers import EXTENSIONS, SHEETS, kind_of
from yanmo.errors import DataError
from yanmo.integrations.object_storage import Bucket, StoredObject, open_bucket

__all__ = ["copy_sources"]

COMPANIONS = (".ann", "seq.in", "seq.out")
"""Ends of names of files that are read because of another one, beside which a copy does not stand."""


def copy_sources(address: str) -> list[Path]:
    """Return the copies of what an address names: an artifact, a file, or the files of a folder or a pattern.

    Raises:
        DataError: Nothing stands there that can be read.
        StorageError: The bucket cannot be read.
    """
    bucket, path = open_bucket(address)
    if path and (found := bucket.find(path)):
        return copy_objects(bucket, _alone(address, [found]))
    if bucket.find(join_path(path, MANIFEST)):
        return [copy_artifact(address)]
    return copy_objects(bucket, _alone(address, _in_folder(bucket, address, path)))


def _in_folder(bucket: Bucket, address: str, path: str) -> list[StoredObject]:
    """Return the objects of a folder that can be read, or those that match the pattern of the last name."""
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
    return chosen


def _alone(address: str, objects: list[StoredObject]) -> list[StoredObject]:
    """Refuse files that are read together with others beside them.

    Raises:
        DataError: There is one.
    """
    for one in objects:
        if one.path.endswith(COMPANIONS):
            raise DataError(
                f"{one.path} at {address} belongs to a file beside it.",
                hint="Copy both to this machine, and name them.",
            )
    return objects
