"""Copies on this machine of artifacts and objects in buckets: made once, whole, and shared by all processes.

An artifact's copy is found by its digest, so the same Bundle at another address, or in another run, is not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from yanmo.artifacts.base import check_files, check_name, parse_manifest, read_manifest
from yanmo.artifacts.durable import put
from yanmo.artifacts.origins import Origin, artifact_place, copies_dir, note_origin, object_place
from yanmo.artifacts.placing import MANIFEST, lock
from yanmo.counted import counted
from yanmo.errors import ArtifactError, YanmoError
from yanmo.integrations.hub_repository import open_repository
from yanmo.integrations.model_registry import download_model
from yanmo.integrations.object_storage import open_bucket
from yanmo.integrations.oci_registry import download_oci
from yanmo.integrations.stored_objects import ReadableStore, StoredObject
from yanmo.paths import HUB, is_of_registry

__all__ = ["copy_again", "copy_artifact", "copy_objects", "join_path", "keep_copy", "open_store"]

logger = logging.getLogger(__name__)

WAIT_SECONDS = 3600.0
"""How long one process waits while another one makes the copy that both need."""
MEGABYTE = 1e6


def join_path(folder: str, name: str) -> str:
    """Return the path in a bucket of a name in a folder, which may be the bucket itself."""
    return f"{folder}/{name}" if folder else name


def open_store(address: str) -> tuple[ReadableStore, str]:
    """Return what can be read at an address, and the path in it.

    Raises:
        ConfigError: The address is of another form.
        MissingExtraError: What reads it is not installed.
        StorageError: There is nothing like that.
    """
    return open_repository(address) if address.startswith(f"{HUB}:") else open_bucket(address)


def copy_again(origin: Origin) -> Path:
    """Return the copy of what another process has named, made here if needed.

    Raises:
        ArtifactError: Another artifact stands there by now.
        StorageError: It cannot be read.
    """
    if origin.is_artifact:
        return copy_artifact(origin.address, origin.version) / origin.inside
    place = object_place(origin.address, origin.version)
    if not place.is_file():
        bucket, path = open_store(origin.address)
        _copy_object(bucket, StoredObject(path, 0, origin.version))
    return place


def copy_objects(bucket: ReadableStore, objects: Sequence[StoredObject]) -> list[Path]:
    """Return the copies of objects, in their order.

    Raises:
        StorageError: One cannot be read, or has changed.
    """
    missing = [one for one in objects if not object_place(_address(bucket, one), one.version).is_file()]
    for one in missing:
        _copy_object(bucket, one)
    if missing:
        _tell_size(bucket.address, len(missing), sum(one.size for one in missing))
    return [object_place(_address(bucket, one), one.version) for one in objects]


def copy_artifact(address: str, digest: str | None = None) -> Path:
    """Return the folder of an artifact's copy.

    Args:
        address: Of its folder.
        digest: What it must be; with it, a copy that is here is not asked for again.

    Raises:
        ArtifactError: There is none, another one, or it is damaged.
        StorageError: The bucket cannot be read.
    """
    if digest and _is_whole(artifact_place(digest, address)):
        return artifact_place(digest, address)
    if is_of_registry(address):
        return _copy_registered(address, digest)
    bucket, folder = open_store(address)
    pinned = f"{bucket.address}/{folder}".rstrip("/")
    raw = bucket.read(join_path(folder, MANIFEST))
    if raw is None:
        # For its errors: a bucket that is not there looks like an object that is not.
        num_objects = len(bucket.list(folder))
        raise ArtifactError(
            f"There is no artifact at {address}: it has no {MANIFEST}, and {num_objects} objects.",
            hint="Give the address that a command wrote to with --out.",
        )
    found = hashlib.sha256(raw).hexdigest()
    if digest and found != digest:
        raise ArtifactError(f"Another artifact stands at {address} than when the command began.", hint="Begin anew.")
    place = artifact_place(found, address)
    with lock(place.parent, timeout_seconds=WAIT_SECONDS):
        if not _is_whole(place):
            shutil.rmtree(place, ignore_errors=True)
            _fill(bucket, folder, raw, place)
        # Workers ask there, and what another address had may be gone.
        note_origin(place, Origin(pinned, found, is_artifact=True, given="" if pinned == address else address))
    return place


def _copy_registered(address: str, digest: str | None) -> Path:
    """Return the copy of what a registry has; of its files those that the manifest names."""
    with tempfile.TemporaryDirectory(prefix="yanmo-") as folder:
        download = download_oci if address.startswith("oci:") else download_model
        found, pinned = download(address, Path(folder))
        with _told_of(found, address):
            manifest, found_digest = read_manifest(found)
        if digest and found_digest != digest:
            raise ArtifactError(f"Another artifact is {address} than when the command began.", hint="Begin anew.")
        with _told_of(found, address):
            check_files(found, manifest)
        place = artifact_place(found_digest, address)
        with lock(place.parent, timeout_seconds=WAIT_SECONDS):
            if not _is_whole(place):
                shutil.rmtree(place, ignore_errors=True)
                partial = place.with_name(f".{place.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                for name in (*manifest.files, MANIFEST):
                    (partial / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(found / name, partial / name)
                partial.rename(place)
                _tell_size(address, len(manifest.files), sum(entry.bytes for entry in manifest.files.values()))
            # An alias moves: workers ask for the version.
            note_origin(place, Origin(pinned, found_digest, is_artifact=True, given=address))
    logger.info("%s is %s.", address, found_digest[:12])
    return place


def keep_copy(folder: Path, address: str, digest: str) -> Path:
    """Make an artifact that was made here, and stands at an address by now, the copy of that; return where it stands.

    Args:
        folder: The artifact, which moves.
        address: Of its folder.
        digest: Of its manifest.
    """
    place = artifact_place(digest, address)
    with lock(place.parent, timeout_seconds=WAIT_SECONDS):
        if not place.is_dir():
            note_origin(place, Origin(address, digest, is_artifact=True))
            folder.rename(place)
    return place


def _fill(bucket: ReadableStore, folder: str, raw: bytes, place: Path) -> None:
    """Copy the files of an artifact, and put it in its place when they are what the manifest says."""
    address = f"{bucket.address}/{folder}".rstrip("/")
    with _told_of(Path(place.name), address):
        manifest = parse_manifest(raw, Path(place.name) / MANIFEST)
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in manifest.files:
        check_name(partial, name)
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        bucket.fetch(join_path(folder, name), partial / name, "")
    (partial / MANIFEST).write_bytes(raw)
    with _told_of(partial, address):
        check_files(partial, manifest)
    note_origin(place, Origin(address, place.parent.name, is_artifact=True))
    partial.rename(place)
    _tell_size(bucket.address, len(manifest.files), sum(entry.bytes for entry in manifest.files.values()))


def _is_whole(place: Path) -> bool:
    """Return whether a copy has all its files: somebody may have removed one."""
    if not place.is_dir():
        return False
    try:
        manifest, _ = read_manifest(place)
    except ArtifactError:
        return False
    files = ((place / name, entry.bytes) for name, entry in manifest.files.items())
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


@contextlib.contextmanager
def _told_of(folder: Path, address: str) -> Iterator[None]:
    """Let an error of the block name the address, and not the folder, which the user has never heard of."""
    try:
        yield
    except YanmoError as error:
        error.message = error.message.replace(str(folder), address)
        error.hint = error.hint and error.hint.replace(str(folder), address)
        raise


def _copy_object(bucket: ReadableStore, one: StoredObject) -> None:
    address = _address(bucket, one)
    place = object_place(address, one.version)
    with lock(place.parent, timeout_seconds=WAIT_SECONDS):
        if not place.is_file():
            partial = place.with_name(f".{place.name}.partial")
            bucket.fetch(one.path, partial, one.version)
            note_origin(place, Origin(address, one.version))
            put(partial, place)


def _address(bucket: ReadableStore, one: StoredObject) -> str:
    return f"{bucket.address}/{one.path}"


def _tell_size(address: str, num_files: int, num_bytes: int) -> None:
    root = copies_dir()
    whole = 0
    # What is looked at may go meanwhile: others copy, too.
    with contextlib.suppress(OSError):
        for path in root.rglob("*"):
            with contextlib.suppress(OSError):
                whole += path.stat().st_size if path.is_file() else 0
    logger.info(
        "%s of %s (%.1f MB) copied to %s, which holds %.1f MB and may be removed.",
        counted(num_files, "file"),
        address,
        num_bytes / MEGABYTE,
        root,
        whole / MEGABYTE,
    )
