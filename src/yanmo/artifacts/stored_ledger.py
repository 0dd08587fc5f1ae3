"""Parts of a result that are finished at an address, and their ledger there: an object a part, all by put-if-absent.

No lock is needed: whoever makes a part again makes the same bytes, and finds them there. What was claimed for one work
is refused to another, with what has changed.
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
from yanmo.artifacts.uploads import WORK_FOLDER, check_address, remove_all
from yanmo.artifacts.work import other_work
from yanmo.errors import InternalError
from yanmo.integrations.object_storage import open_bucket

__all__ = ["StoredLedger", "put_stored_part"]

CLAIM = f"{WORK_FOLDER}/work.json"
FINISHED = f"{WORK_FOLDER}/finished"


def put_stored_part(address: str, number: int, ending: str, write: Callable[[Path], object]) -> str:
    """Write one file of a part here and put it at an address if it is not there yet; return its digest.

    Args:
        address: Of all parts.
        number: The part's.
        ending: The file's.
        write: Gets the path to write to.

    Raises:
        InternalError: The part is there with other bytes.
        StorageError: The bucket cannot be written.
    """
    bucket, folder = open_bucket(address)
    name = part_name(number, ending)
    with tempfile.TemporaryDirectory(prefix="yanmo-") as place:
        file = Path(place) / name
        write(file)
        digest = file_digest(file)
        if not bucket.put_new(join_path(folder, name), file):
            there = hashlib.sha256(bucket.read(join_path(folder, name)) or b"").hexdigest()
            if there != digest:
                raise InternalError(f"{address}/{name} was made twice, with other bytes.")
    return digest


class StoredLedger:
    """The finished parts of one result at an address.

    Args:
        address: Where the result appears.
        work: What it is made from, and how.
        replace: Whether an artifact that stands there goes first.
        fork: Whether what other work has left there goes first.

    Raises:
        ArtifactError: Something stands there.
        ConfigError: It was begun with something else.
        StorageError: The bucket cannot be used.
    """

    def __init__(self, address: str, work: Mapping[str, Any], *, replace: bool, fork: bool) -> None:
        check_address(address, replace=replace)
        self._bucket, self._folder = open_bucket(address)
        self._address = address
        if replace and self._bucket.find(self._at(MANIFEST)):
            remove_all(self._bucket, self._folder)
        self._claim(work, fork=fork)
        self._parts: dict[int, FinishedPart] = {}
        for one in self._bucket.list(self._at(FINISHED)):
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
            InternalError: It was finished before, with other bytes.
        """
        line, path = msgspec.json.encode(part), self._at(f"{FINISHED}/{part.number:06}.json")
        if not self._bucket.put_new(path, line):
            there = msgspec.json.decode(self._bucket.read(path) or b"null", type=FinishedPart)
            if there.files != part.files:
                raise InternalError(f"Part {part.number} was made twice at {self._address}, with other bytes.")
        self._parts[part.number] = part

    def publish(self, identity: Identity, *, key: str | None) -> tuple[Manifest, str]:
        """Write the manifest, which names the objects of all parts, and remove the ledger; return it and its digest.

        Raises:
            InternalError: An object is missing.
            StorageError: The bucket cannot be written.
        """
        sizes = {one.path: one.size for one in self._bucket.list(self._folder)}
        files: dict[str, FileEntry] = {}
        for part in self.parts:
            for ending, digest in part.files.items():
                name = part_name(part.number, ending)
                if self._at(name) not in sizes:
                    raise InternalError(f"{self._address}/{name} is in the ledger, and not there.")
                files[name] = FileEntry(sha256=digest, bytes=sizes[self._at(name)])
        manifest = identity.manifest(key=key or identity.key, files=dict(sorted(files.items())))
        content = manifest_bytes(manifest)
        if not self._bucket.put_new(self._at(MANIFEST), content) and self._bucket.read(self._at(MANIFEST)) != content:
            raise InternalError(f"Another artifact was written to {self._address} meanwhile.")
        self._bucket.delete([path for path in sizes if path.startswith(self._at(f"{WORK_FOLDER}/"))])
        return manifest, hashlib.sha256(content).hexdigest()

    def _claim(self, work: Mapping[str, Any], *, fork: bool) -> None:
        content = json.dumps(work, indent=2, ensure_ascii=False).encode()
        if self._bucket.put_new(self._at(CLAIM), content):
            return
        before = self._bucket.read(self._at(CLAIM))
        if before == content:
            return
        if not fork:
            raise other_work(self._address, json.loads(before) if before else None, work)
        remove_all(self._bucket, self._folder)
        self._bucket.put_new(self._at(CLAIM), content)

    def _at(self, name: str) -> str:
        return join_path(self._folder, name)
