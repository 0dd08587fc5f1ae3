"""How an artifact appears at an address: every object by put-if-absent, the manifest last; it knows no kind.

A bucket renames no folder, so what is on its way is marked by an object in ``.work``. Whoever reads looks for the
manifest, and so finds an artifact that is whole, or none. Nothing is removed but what a manifest or a mark names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from yanmo.artifacts.copies import join_path
from yanmo.artifacts.origins import cache_name
from yanmo.artifacts.placing import MANIFEST, is_manifest
from yanmo.errors import ArtifactError, BusyError, StorageError
from yanmo.integrations.object_storage import Bucket, open_bucket

__all__ = ["CLAIM", "WORK_FOLDER", "Standing", "find_standing", "is_part", "note_removal", "remove_old", "upload"]

WORK_FOLDER = ".work"
"""Folder at an address of what is on its way."""
CLAIM = f"{WORK_FOLDER}/work.json"
"""Says what parts are made for that appear one by one."""
MARK = f"{WORK_FOLDER}/upload"
REPLACED = f"{WORK_FOLDER}/replaced-"
"""What names of an old artifact were to be removed, so that a kill in between leaves nothing that nobody knows."""
PART = re.compile(r"part-\d{6}[-.].*")


@dataclass(frozen=True)
class Standing:
    """What stands at an address, and may be replaced.

    Attributes:
        names: In the folder.
        noted: Those that somebody began to remove.
        is_artifact: Whether they are an artifact that is whole.
        is_ours: Whether an upload of this machine left them that was cut off; it holds the address's place here, so
            the one that was cut off is over.
    """

    names: frozenset[str]
    noted: frozenset[str]
    is_artifact: bool
    is_ours: bool


def find_standing(address: str, *, replace: bool, anew: bool) -> Standing:
    """Return what stands at an address, before any work is done.

    Args:
        address: Of a folder.
        replace: Whether an artifact there may be replaced.
        anew: Whether what a command left that was cut off is replaced.

    Raises:
        ArtifactError: An artifact stands there that is not to be replaced, or around it, or other objects.
        BusyError: Another command writes there, or was cut off.
        StorageError: The bucket cannot be read.
    """
    bucket, folder = open_bucket(address)
    _check_around(bucket, folder, address)
    names = {_inside(folder, one.path) for one in bucket.list(folder)} - {folder}
    named = _named_by(bucket.read(join_path(folder, MANIFEST))) if MANIFEST in names else None
    if named is not None and not replace:
        raise ArtifactError(f"{address} exists already.", hint="Choose another --out, or replace it: --force.")
    noted = {one for name in names if name.startswith(REPLACED) for one in _noted_in(bucket, folder, name)}
    ours = {*noted, *(named or ())} | (set() if named is None else {MANIFEST})
    if MARK in names:
        ours.update(_noted_in(bucket, folder, MARK))
    others = sorted(
        name
        for name in names - ours
        if not name.startswith(f"{WORK_FOLDER}/") and not (CLAIM in names and is_part(name))
    )
    if others:
        raise ArtifactError(
            f"{address} holds {len(others)} objects that are no artifact, such as {others[0]}.",
            hint="Choose another --out, or remove them.",
        )
    if MARK in names and not anew:
        raise _busy(address)
    is_ours = MARK in names and named is None and _read_note(bucket, folder, MARK).get("cache") == cache_name()
    return Standing(frozenset(names), frozenset(noted & names), named is not None, is_ours)


def _check_free(address: str, *, replace: bool) -> Standing:
    """Refuse an address at which something stands, also what another command makes part by part; return what does.

    Raises:
        YanmoError: Those of :func:`find_standing`.
    """
    found = find_standing(address, replace=replace, anew=True)
    if CLAIM in found.names and not found.is_artifact:
        raise BusyError(
            f"A predict writes to {address}, or was cut off there.",
            hint="Give that predict again to end it, or choose another --out.",
        )
    if found.names and not replace and not found.is_ours:
        raise _busy(address)
    return found


def upload(folder: Path, address: str, *, replace: bool) -> None:
    """Write the files of an artifact's folder to an address; of what this machine began to write it goes on.

    The caller is the only process of this machine that makes what is to appear there.

    Raises:
        BusyError: Another command writes there, or was cut off.
        ArtifactError: Something stands there that is not to be replaced.
        StorageError: The bucket cannot be written.
    """
    found = _check_free(address, replace=replace)
    old = found.names
    bucket, place = open_bucket(address)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    names = [file.relative_to(folder).as_posix() for file in files]
    kept = old & set(names) if found.is_ours and not replace else frozenset()
    if old:
        note_removal(bucket, place, old)
        bucket.delete([join_path(place, MARK)] if MARK in old else [])
    with _marked(bucket, place, address, names, kept) as mark:
        if old:
            remove_old(bucket, place, old - kept, keep=MARK)
        for name in names:
            mark.put(name, folder / name)
        mark.check()
        mark.put(MANIFEST, folder / MANIFEST)


def is_part(name: str) -> bool:
    """Return whether a name is one of those that parts have that appear one by one."""
    return PART.fullmatch(name) is not None


def note_removal(bucket: Bucket, folder: str, names: Iterable[str]) -> None:
    """Write down what is to be removed from a folder, so that it can be removed after a kill, too."""
    content = json.dumps({"names": sorted(names)}).encode()
    bucket.put_new(join_path(folder, f"{REPLACED}{hashlib.sha256(content).hexdigest()[:8]}"), content)


def remove_old(bucket: Bucket, folder: str, names: Iterable[str], *, keep: str) -> None:
    """Remove objects of a folder that were there before, and what was noted of their removal.

    Args:
        bucket: Where.
        folder: The folder.
        names: Of the objects in it.
        keep: One that stays: the mark of whoever removes them.
    """
    old = set(names) - {keep}
    notes = {_inside(folder, one.path) for one in bucket.list(join_path(folder, WORK_FOLDER))}
    # The manifest first, so that nobody takes the rest for an artifact; last what says whose the others are.
    work = {name for name in old if name.startswith(f"{WORK_FOLDER}/")}
    last = work | {name for name in notes if name.startswith(REPLACED)}
    for some in (old & {MANIFEST}, old - work - {MANIFEST}, last):
        bucket.delete([join_path(folder, name) for name in sorted(some)])


class _Mark:
    """What says that an address is one process's own, and what that has written there."""

    def __init__(self, bucket: Bucket, folder: str, address: str, names: list[str], kept: frozenset[str]) -> None:
        self._bucket, self._folder, self._address = bucket, folder, address
        told = {"token": secrets.token_hex(8), "cache": cache_name(), "names": names}
        self._content = json.dumps(told).encode()
        self._path = join_path(folder, MARK)
        self._kept = {join_path(folder, name) for name in kept}
        self._written: list[str] = sorted(self._kept)

    def take(self) -> None:
        """Put the mark.

        Raises:
            BusyError: There is one already.
        """
        if not self._bucket.put_new(self._path, self._content):
            raise _busy(self._address)

    def put(self, name: str, file: Path) -> None:
        """Write one file.

        Raises:
            ArtifactError: Another one stands there.
        """
        path = join_path(self._folder, name)
        # Before it is there: what ends this process in between must not leave it.
        self._written.append(path)
        is_put = self._bucket.put_new(path, file)
        if not is_put and path in self._kept:
            # Of the work that was cut off, and not what is made now.
            self._bucket.delete([path])
            is_put = self._bucket.put_new(path, file)
        if not is_put:
            self._written.pop()
            raise ArtifactError(
                f"{self._address}/{name} was written by somebody else meanwhile.", hint="Choose another --out."
            )

    def check(self) -> None:
        """Refuse to go on where another process has begun anew.

        Raises:
            BusyError: As said.
        """
        if not self._is_held():
            raise BusyError(f"Another command has begun to write to {self._address} meanwhile.", hint="Wait for it.")

    def undo(self) -> None:
        """Remove what was written, unless the address is another's by now, and the mark."""
        if self._is_held():
            self._bucket.delete(self._written)
            self.release()

    def release(self) -> None:
        """Remove the mark."""
        self._bucket.delete([self._path])

    def _is_held(self) -> bool:
        return self._bucket.read(self._path) == self._content


@contextlib.contextmanager
def _marked(bucket: Bucket, folder: str, address: str, names: list[str], kept: frozenset[str]) -> Iterator[_Mark]:
    """Hold an address for this process alone."""
    mark = _Mark(bucket, folder, address, names, kept)
    mark.take()
    try:
        yield mark
    except BaseException:
        # Nothing half-written stays, where the bucket still answers.
        with contextlib.suppress(StorageError):
            mark.undo()
        raise
    mark.release()


def _check_around(bucket: Bucket, folder: str, address: str) -> None:
    """Refuse an address in an artifact."""
    for parent in PurePosixPath(folder).parents if folder else ():
        place = "" if str(parent) == "." else str(parent)
        named = None
        # Whoever may use one folder alone need not be allowed to read what is around it.
        with contextlib.suppress(StorageError):
            named = _named_by(bucket.read(join_path(place, MANIFEST)))
        if named is not None:
            raise ArtifactError(
                f"{address} lies in {join_path(bucket.address, place).rstrip('/')}, which is a finished artifact.",
                hint="Choose an --out beside it.",
            )


def _named_by(manifest: bytes | None) -> set[str] | None:
    """Return what files a manifest names, None where it is none of an artifact."""
    if manifest is None or not is_manifest(manifest):
        return None
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        return set(json.loads(manifest).get("files", {}))
    return None


def _noted_in(bucket: Bucket, folder: str, note: str) -> set[str]:
    """Return what a mark names, or a note of what is removed."""
    return set(_read_note(bucket, folder, note).get("names", ()))


def _read_note(bucket: Bucket, folder: str, note: str) -> dict[str, Any]:
    """Return a mark, or a note of what is removed; empty where it cannot be read."""
    with contextlib.suppress(ValueError, TypeError):
        return dict(json.loads(bucket.read(join_path(folder, note)) or b""))
    return {}


def _busy(address: str) -> BusyError:
    return BusyError(
        f"Another command writes to {address}, or was cut off there.",
        hint="Wait until it has ended; what one of another machine left that was cut off is replaced by --force.",
    )


def _inside(folder: str, path: str) -> str:
    return path.removeprefix(f"{folder}/" if folder else "")
