"""Parts of a result that are finished at an address, and their ledger there: an object a part, all by put-if-absent.

No lock is needed: names say for what work a part is, and whoever makes one again finds it there. What was claimed for
one work is refused to another, with what has changed; what goes on unseen for earlier work is not taken for one's own.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from yanmo.artifacts.base import FileEntry, Identity, Manifest, manifest_bytes
from yanmo.artifacts.copies import join_path
from yanmo.artifacts.identity import file_digest
from yanmo.artifacts.ledger import FinishedPart, part_name
from yanmo.artifacts.placing import MANIFEST
from yanmo.artifacts.uploads import CLAIM, WORK_FOLDER, Standing, find_standing, is_part, note_removal, remove_old
from yanmo.artifacts.work import other_work
from yanmo.errors import ArtifactError, BusyError
from yanmo.integrations.object_storage import open_bucket

__all__ = ["StoredLedger", "put_stored_part", "work_mark"]

AGAIN = "Give the same command again, or with --fork (fork = true) to begin anew."


def work_mark(work: Mapping[str, Any]) -> str:
    """Return what the names of a work's parts have in them."""
    return hashlib.sha256(_claim_bytes(work)).hexdigest()[:8]


def put_stored_part(address: str, number: int, ending: str, write: Callable[[Path], object], *, mark: str) -> str:
    """Write one file of a part here and put it at an address if it is not there yet; return the digest of what is.

    Args:
        address: Of all parts.
        number: The part's.
        ending: The file's.
        write: Gets the path to write to.
        mark: Of the work.

    Raises:
        StorageError: The bucket cannot be written.
    """
    bucket, folder = open_bucket(address)
    name = part_name(number, ending, mark)
    with tempfile.TemporaryDirectory(prefix="yanmo-") as place:
        file = Path(place) / name
        write(file)
        if bucket.put_new(join_path(folder, name), file):
            return file_digest(file)
        # Another machine's last bits may differ. Its part is of the same work, and whole: to replace it would take it
        # from under a line of the ledger.
        there = Path(place) / "there"
        bucket.fetch(join_path(folder, name), there, "")
        return file_digest(there)


class StoredLedger:
    """The finished parts of one result at an address.

    Args:
        address: Where the result appears.
        work: What it is made from, and how.
        replace: Whether an artifact that stands there goes first, and all that was left there.
        fork: Whether what was left there goes first.

    Raises:
        ArtifactError: Something stands there.
        BusyError: Another command writes there.
        ConfigError: It was begun with something else.
        StorageError: The bucket cannot be used.
    """

    def __init__(self, address: str, work: Mapping[str, Any], *, replace: bool, fork: bool) -> None:
        found = find_standing(address, replace=replace, anew=replace or fork)
        self._bucket, self._folder = open_bucket(address)
        self._address, self._mark = address, work_mark(work)
        self._begin(found, work, is_anew=replace or fork)
        self._parts: dict[int, FinishedPart] = {}
        for one in self._bucket.list(self._at(self._finished)):
            part = msgspec.json.decode(self._bucket.read(one.path) or b"null", type=FinishedPart)
            self._parts[part.number] = part

    def __contains__(self, number: object) -> bool:
        """Return whether a part is finished."""
        return number in self._parts

    @property
    def parts(self) -> list[FinishedPart]:
        """The finished parts, in the order of their numbers."""
        return [self._parts[number] for number in sorted(self._parts)]

    def add(self, part: FinishedPart) -> None:
        """Say that one more part is finished; its objects are there.

        Raises:
            ArtifactError: It was finished before, with other bytes.
        """
        line, path = msgspec.json.encode(part), self._at(f"{self._finished}/{part.number:06}.json")
        if not self._bucket.put_new(path, line):
            there = msgspec.json.decode(self._bucket.read(path) or b"null", type=FinishedPart)
            if there.files != part.files:
                raise ArtifactError(
                    f"Part {part.number} was made twice at {self._address}, with other bytes.", hint=AGAIN
                )
        self._parts[part.number] = part

    def publish(self, identity: Identity, *, key: str | None) -> tuple[Manifest, str]:
        """Write the manifest, which names the objects of all parts, and remove the ledger; return it and its digest.

        Raises:
            ArtifactError: An object is missing, or another artifact stands there by now.
            StorageError: The bucket cannot be written.
        """
        sizes = {one.path: one.size for one in self._bucket.list(self._folder)}
        files: dict[str, FileEntry] = {}
        for part in self.parts:
            for ending, digest in part.files.items():
                name = part_name(part.number, ending, self._mark)
                if self._at(name) not in sizes:
                    raise ArtifactError(f"{self._address}/{name} was removed meanwhile.", hint=AGAIN)
                files[name] = FileEntry(sha256=digest, bytes=sizes[self._at(name)])
        manifest = identity.manifest(key=key or identity.key, files=dict(sorted(files.items())))
        content = manifest_bytes(manifest)
        if not self._bucket.put_new(self._at(MANIFEST), content):
            raise ArtifactError(
                f"Another artifact was written to {self._address} meanwhile.", hint="Choose another --out."
            )
        # Also parts of earlier work that went on unseen: beside the manifest, nobody would know whose they are.
        inside = {path.removeprefix(self._at("")): path for path in sizes}
        self._bucket.delete([path for name, path in inside.items() if is_part(name) and name not in files])
        self._bucket.delete([path for path in sizes if path.startswith(self._at(f"{WORK_FOLDER}/"))])
        return manifest, hashlib.sha256(content).hexdigest()

    @property
    def _finished(self) -> str:
        return f"{WORK_FOLDER}/{self._mark}/finished"

    def _begin(self, found: Standing, work: Mapping[str, Any], *, is_anew: bool) -> None:
        """Claim the address for a work; what is to go goes then."""
        if is_anew and found.names:
            note_removal(self._bucket, self._folder, found.names)
            for name in (MANIFEST, CLAIM):
                self._bucket.delete([self._at(name)] if name in found.names else [])
        if not self._bucket.put_new(self._at(CLAIM), _claim_bytes(work)):
            if is_anew:
                raise BusyError(f"Another command has begun to write to {self._address}.", hint="Wait for it.")
            before = self._bucket.read(self._at(CLAIM))
            raise other_work(self._address, json.loads(before) if before else None, work)
        # What another command was cut off from removing goes, too.
        old = found.names if is_anew else found.noted
        if old:
            remove_old(self._bucket, self._folder, old, keep=CLAIM)

    def _at(self, name: str) -> str:
        return join_path(self._folder, name)


def _claim_bytes(work: Mapping[str, Any]) -> bytes:
    return json.dumps(work, indent=2, ensure_ascii=False).encode()
