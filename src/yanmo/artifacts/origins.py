"""Where a copy on this machine comes from: the cache's layout, and the record beside each copy; it reads no bucket.

The cache holds ``artifacts/DIGEST/NAME`` and ``objects/KEY/NAME``, where the key is made of address and version, and
for a while ``made/KEY/NAME``, what is to appear at an address. What stands there never changes, and whoever needs room
may remove any of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec
import platformdirs

from yanmo.errors import YanmoError

__all__ = [
    "Origin",
    "artifact_place",
    "cache_name",
    "copies_dir",
    "made_place",
    "note_origin",
    "object_place",
    "origin_of",
    "record_path",
    "shown_place",
    "told_by_address",
]

PLACE = r"/(?:artifacts|objects|made)/[0-9a-f]{64}/"
REGISTERED = re.compile(
    r"models:/+([^/@]+)[/@].*|oci:.*/([^/:@]+)[:@].*|hf://(?:datasets/)?[^/]+/([^/@]+)@(?:refs/[^/]+/)?[^/]*"
)
"""Addresses whose last part is no name, but a version."""
DEPTH = 3
"""Of a copy below the cache's folder."""


class Origin(msgspec.Struct, frozen=True):
    """Where a copy comes from.

    Attributes:
        address: Of the object or the artifact's folder.
        version: The object's, as its bucket has it; of an artifact the digest.
        is_artifact: Whether it is one.
        inside: Path of a file in the artifact; empty for the whole.
        given: The address as the user gave it, where that may come to name something else, as an alias does.
    """

    address: str
    version: str
    is_artifact: bool = False
    inside: str = ""
    given: str = ""

    @property
    def shown(self) -> str:
        """The address as a user reads it."""
        address = self.given or self.address
        return f"{address}/{self.inside}" if self.inside else address


def copies_dir() -> Path:
    """Return the folder of all copies: one a machine and user, moved by XDG_CACHE_HOME."""
    return platformdirs.user_cache_path("yanmo") / "copies"


def artifact_place(digest: str, address: str) -> Path:
    """Return where the copy of an artifact stands."""
    # A registered model is called by its name, and not by what stands behind it.
    name = REGISTERED.fullmatch(address)
    return copies_dir() / "artifacts" / digest / (name[name.lastindex or 0] if name else PurePosixPath(address).name)


def object_place(address: str, version: str) -> Path:
    """Return where the copy of an object's version stands."""
    key = hashlib.sha256(f"{address}\n{version}".encode()).hexdigest()
    return copies_dir() / "objects" / key / PurePosixPath(address).name


def made_place(address: str) -> Path:
    """Return where stands what is to appear at an address."""
    return copies_dir() / "made" / hashlib.sha256(address.encode()).hexdigest() / PurePosixPath(address).name


def note_origin(place: Path, origin: Origin) -> None:
    """Write down, before the copy is used, where it comes from."""
    record, content = record_path(place), msgspec.json.encode(origin)
    with contextlib.suppress(OSError):
        if record.read_bytes() == content:
            return
    # Others may read the one that was there.
    partial = record.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(record)


def cache_name() -> str:
    """Return the name of this machine's cache, by which what it has left elsewhere is known; it is made once."""
    file = copies_dir() / ".name"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".name-{os.getpid()}")
        partial.write_text(secrets.token_hex(8), encoding="ascii")
        # The first one stays: of two processes the other one reads it.
        with contextlib.suppress(FileExistsError):
            os.link(partial, file)
        partial.unlink()
    return file.read_text(encoding="ascii")


def record_path(place: Path) -> Path:
    """Return the file beside a copy that says where it comes from."""
    # Not in it: an artifact has no file that its manifest does not name.
    return place.parent / f".{place.name}.origin.json"


def origin_of(path: Path) -> Origin | None:
    """Return where a path of a copy, or of a file in one, comes from; None for any other path."""
    root = copies_dir()
    if not path.is_absolute() or not path.is_relative_to(root):
        return None
    parts = path.relative_to(root).parts
    try:
        found = msgspec.json.decode(record_path(root.joinpath(*parts[:DEPTH])).read_bytes(), type=Origin)
    except (OSError, msgspec.DecodeError):
        return None
    return msgspec.structs.replace(found, inside="/".join(parts[DEPTH:]))


def shown_place(path: Path) -> str:
    """Return a path as a user gave it: of a copy the address."""
    origin = origin_of(path)
    return origin.shown if origin else str(path)


@contextlib.contextmanager
def told_by_address() -> Iterator[None]:
    """Let an error of the block name the addresses, and not the copies, which the user has never heard of."""
    try:
        yield
    except YanmoError as error:
        error.message, error.hint = _by_address(error.message), error.hint and _by_address(error.hint)
        raise


def _by_address(text: str) -> str:
    for found in set(re.findall(re.escape(str(copies_dir())) + PLACE, text)):
        for record in Path(found).glob(".*.origin.json"):
            place = Path(found) / record.name.removeprefix(".").removesuffix(".origin.json")
            origin = origin_of(place)
            text = text.replace(str(place), origin.shown) if origin else text
    return text
