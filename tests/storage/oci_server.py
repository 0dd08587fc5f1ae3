"""A registry of the Open Container Initiative on this machine: what its clients ask to push and pull artifacts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from local_server import Answering, serving

MANIFEST = re.compile(r"/v2/(.+)/manifests/(.+)")
BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Registry:
    """The registry.

    Attributes:
        host: With its port.
        blobs: Digest to content.
        manifests: Repository, and tag or digest, to content.
    """

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def put(self, repository: str, tag: str, content: bytes) -> str:
        """Keep a manifest under a tag and its digest, and return the digest."""
        digest = digest_of(content)
        self.manifests[repository, tag] = self.manifests[repository, digest] = content
        return digest

    def put_blob(self, content: bytes) -> str:
        """Keep a blob, and return its digest."""
        self.blobs[digest := digest_of(content)] = content
        return digest


def digest_of(content: bytes) -> str:
    """Return a digest as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Routes(Answering):
    """What clients ask."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        content = None
        if found := MANIFEST.fullmatch(self.path):
            content = self.kept.manifests.get((found[1], found[2]))
        elif found := BLOB.fullmatch(self.path):
            content = self.kept.blobs.get(found[2])
        self.send(404 if content is None else 200, content or b"", Content_Type=TYPE)

    def do_POST(self) -> None:
        self.body()
        self.send(202, b"", Location=f"{urlsplit(self.path).path}1")

    def do_PUT(self) -> None:
        content = self.body()
        if found := MANIFEST.fullmatch(self.path):
            digest = self.kept.put(found[1], found[2], content)
        else:
            digest = self.kept.put_blob(content)
        self.send(201, b"", Docker_Content_Digest=digest, Location=self.path)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))


@contextmanager
def serving_registry() -> Iterator[Registry]:
    """Give an empty registry."""
    registry = Registry()
    with serving(Routes, registry) as host:
        registry.host = host
        yield registry
