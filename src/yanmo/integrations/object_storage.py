"""Buckets of objects, as S3, Google and Azure have them, through obstore; only this module imports it.

Credentials come from where the clouds' own programs take them: the environment, or the machine's role. They stand in no
address, no log and no error. What fails by chance, as a request that is throttled or a connection that is cut, is tried
again for a while; what fails then is told as a user's error. It knows no artifact.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from yanmo.errors import MissingExtraError, StorageError
from yanmo.integrations.stored_objects import StoredObject

__all__ = ["Bucket", "open_bucket"]

RETRY_SECONDS = 60.0
"""How long a request is tried again that was throttled, or whose connection was cut."""
CONNECT_SECONDS = 10.0
PAUSE_SECONDS = 0.3
"""Between two tries to read on."""
DAY_SECONDS = 86400.0
SLOWEST_BYTES = 10_000
"""What a line writes in a second at the least."""
STATUS = re.compile(r"status code: (\d+) ([A-Za-z ]+)")
CODE = re.compile(r"<Code>([A-Za-z]+)</Code>")
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
NO_CREDENTIALS = re.compile(
    r"/latest/(?:api/token|meta-data)|/computeMetadata/|/metadata/identity|token request|MissingAccount"
)
"""Where the library looks last, which is no answer for a machine without a role."""
ENVIRONMENT = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT_URL for a server of your own",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


def open_bucket(address: str) -> tuple[Bucket, str]:
    """Return the bucket of an address, and the path in it.

    Args:
        address: Such as ``s3://bucket/folder``.

    Raises:
        MissingExtraError: obstore is not installed.
        StorageError: The bucket cannot be named so, or the environment says too little.
    """
    scheme, _, rest = address.partition("://")
    name, _, path = rest.partition("/")
    return Bucket(scheme, name), path.strip("/")


class Bucket:
    """A bucket.

    Args:
        scheme: s3, gs or az.
        name: The bucket's.
    """

    def __init__(self, scheme: str, name: str) -> None:
        try:
            import obstore
            import obstore.store
        except ImportError as error:
            raise MissingExtraError(f"{scheme}://{name}", package="obstore", extra="storage") from error
        self.address, self._scheme, self._obstore = f"{scheme}://{name}", scheme, obstore
        # Who gives an address without encryption for a server of his own means it.
        is_open = any(os.environ.get(name, "").startswith("http://") for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT"))
        self._allow_http = is_open or os.environ.get("AWS_ALLOW_HTTP", "") == "true"
        self._writers: dict[float, Any] = {}
        with self._told("is opened"):
            # However long it takes, as long as bytes come.
            self._store = self._open(DAY_SECONDS, RETRY_SECONDS, {"read_timeout": timedelta(seconds=RETRY_SECONDS)})

    def list(self, folder: str) -> list[StoredObject]:
        """Return the objects of a folder, those in folders of it, too, in the order of their paths."""
        with self._told("lists", folder):
            found = [one for chunk in self._obstore.list(self._store, folder) for one in chunk]
        return sorted((_object(one) for one in found), key=lambda one: one.path)

    def find(self, path: str) -> StoredObject | None:
        """Return what stands at a path, None where nothing does."""
        with self._told("asks for", path):
            try:
                return _object(self._obstore.head(self._store, path))
            except FileNotFoundError:
                return None

    def read(self, path: str) -> bytes | None:
        """Return a small object's content, None where nothing stands there."""
        with self._told("reads", path):
            try:
                return bytes(self._obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def fetch(self, path: str, target: Path, version: str) -> None:
        """Write an object to a file; a connection that is cut is taken up again where it was.

        Raises:
            StorageError: It has another version by now, or cannot be read.
        """
        end = time.monotonic() + RETRY_SECONDS
        with self._told("reads", path), target.open("wb") as file:
            while True:
                options: dict[str, Any] = {"if_match": version} if version else {}
                if file.tell():
                    options["range"] = {"offset": file.tell()}
                try:
                    for piece in self._obstore.get(self._store, path, options=cast(Any, options)):
                        file.write(piece)
                        end = time.monotonic() + RETRY_SECONDS
                except self._obstore.exceptions.GenericError:
                    # The library tries again what it was refused, but not what it has begun to read.
                    if not file.tell() or time.monotonic() > end:
                        raise
                    time.sleep(PAUSE_SECONDS)
                    continue
                return

    def put_new(self, path: str, content: bytes | Path) -> bool:
        """Write an object if nothing stands there, whole or not at all; return whether it is there by now."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        with self._told("writes", path):
            try:
                self._obstore.put(self._writer(size), path, content, mode="create", use_multipart=False)
            except self._obstore.exceptions.AlreadyExistsError:
                # It may be ours: an answer is lost, and the request is made again.
                return self._holds(path, content, size)
            except self._obstore.exceptions.GenericError as error:
                if STATUS.search(str(error)) or not self._holds(path, content, size):
                    raise
        return True

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; what is not there already is no error."""
        if paths:
            with self._told("removes from", paths[0]):
                self._obstore.delete(self._store, list(paths))

    def _open(self, seconds: float, retry_seconds: float, options: dict[str, Any]) -> Any:
        """Return a client whose requests may take so long, their bodies included."""
        client = {
            "allow_http": self._allow_http,
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=seconds),
            **options,
        }
        retries = {"max_retries": 10, "retry_timeout": timedelta(seconds=retry_seconds)}
        return self._obstore.store.from_url(
            self.address, client_options=cast(Any, client), retry_config=cast(Any, retries)
        )

    def _writer(self, size: int) -> Any:
        """Return a client that has time to write so many bytes; there is one for each doubling of it."""
        seconds = RETRY_SECONDS
        while seconds * SLOWEST_BYTES < size:
            seconds *= 2
        if seconds not in self._writers:
            self._writers[seconds] = self._open(seconds, seconds, {})
        return self._writers[seconds]

    def _holds(self, path: str, content: bytes | Path, size: int) -> bool:
        """Return whether an object has some content."""
        found = self.find(path)
        if found is None or found.size != size:
            return False
        there = hashlib.sha256()
        for piece in self._obstore.get(self._store, path):
            there.update(piece)
        if isinstance(content, bytes):
            return there.digest() == hashlib.sha256(content).digest()
        with content.open("rb") as file:
            return there.digest() == hashlib.file_digest(file, "sha256").digest()

    @contextlib.contextmanager
    def _told(self, does: str, path: str = "") -> Iterator[None]:
        """Turn the library's errors into the user's, without what they quote of requests."""
        exceptions = self._obstore.exceptions
        try:
            yield
        except exceptions.PreconditionError as error:
            raise StorageError(
                f"{self.address}/{path} has changed since it was read first.", hint="Give the command again."
            ) from error
        except (exceptions.BaseError, FileNotFoundError, PermissionError, ValueError) as error:
            raise self._refusal(str(error), does, path, isinstance(error, FileNotFoundError)) from None

    def _refusal(self, said: str, does: str, path: str, is_missing: bool) -> StorageError:
        place = f"{self.address}/{path}" if path else self.address
        status, code = STATUS.search(said), CODE.search(said)
        number = int(status[1]) if status else 0
        if NO_CREDENTIALS.search(said):
            return StorageError(
                f"There are no credentials for {self.address}.",
                hint=f"Set in the environment: {ENVIRONMENT[self._scheme]}.",
            )
        why = code[1] if code else f"{status[1]} {status[2].strip()}" if status else _first_line(said)
        if number in {401, 403}:
            return StorageError(
                f"{self.address} refuses: {why}, as Yanmo {does} {place}.",
                hint=f"Check the credentials in the environment: {ENVIRONMENT[self._scheme]}.",
            )
        # An answer to what names no object is about the bucket; with a code it says so itself.
        if number == 404 and (not path or does == "lists" or (code and code[1] in NO_BUCKET)):
            return StorageError(f"There is no bucket {self.address}: {why}.", hint="Check its name and the region.")
        if number == 404 or is_missing:
            return StorageError(f"There is no object {place}.", hint="It was removed, or never written: make it anew.")
        is_busy = number == 429 or number >= 500
        return StorageError(
            f"{self.address} {'is too busy' if is_busy else 'cannot be used'}: {why}, as Yanmo {does} {place}.",
            hint=f"It was tried for {RETRY_SECONDS:.0f} s. Give the same command again later."
            if is_busy
            else "Check the address and the network, and give the command again.",
        )


def _object(found: Any) -> StoredObject:
    version = found["e_tag"] or found["version"] or f"{found['last_modified'].isoformat()}"
    return StoredObject(found["path"], found["size"], version)


def _first_line(said: str) -> str:
    """Return the end of the first line, which says what is wrong; before it stands the address of a request."""
    line = said.partition("\n")[0]
    return line.rpartition(" - ")[2].strip().removesuffix(".") or "no answer"
