"""Artifacts of an OCI registry, as ``oras push`` writes them; it knows none of ours: it hands over a folder of files.

Who may read is what docker's and oras' own login has written. A tag is resolved to the digest of its manifest once, and
everything is read by digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from yanmo.errors import ConfigError, MissingExtraError, StorageError

__all__ = ["download_oci"]

ADDRESS = re.compile(r"oci://([A-Za-z0-9.-]+(?::[0-9]+)?)/([a-z0-9._/-]+?)(?::([\w.-]{1,128})|@(sha256:[0-9a-f]{64}))")
LOCAL = re.compile(r"(?:localhost|127\.0\.0\.1)(?::.*)?")
"""Registries that are reached without encryption, as docker does."""
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
TITLE = "org.opencontainers.image.title"
UNPACK = "io.deis.oras.content.unpack"
FOLDER_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def download_oci(address: str, target: Path) -> tuple[Path, str]:
    """Write the files of an artifact into a folder; return where they are, and the address by digest.

    Args:
        address: ``oci://HOST[:PORT]/REPOSITORY:TAG`` or ``oci://…@sha256:…``.
        target: The folder, which is there.

    Raises:
        ConfigError: The address is of another form.
        MissingExtraError: oras is not installed.
        StorageError: There is no such artifact, it is no folder of files, or the registry cannot be reached.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigError(
            f"An artifact of a registry must be oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:DIGEST. "
            f"Got '{address}' instead.",
            hint="Name a tag, such as :v1, or a digest.",
        )
    host, repository, tag, digest = found.groups()
    registry = _Registry(host, f"{host}/{repository}:{tag}" if tag else f"{host}/{repository}@{digest}", address)
    layers, pinned = registry.read_manifest()
    if digest and pinned != digest:
        raise StorageError(f"The registry answers {address} with {pinned}.", hint="Ask whoever runs the registry.")
    for layer in layers:
        registry.fetch(layer, target)
    inside = list(target.iterdir())
    # A folder that was pushed by its name stands in the artifact under that name.
    is_folder = len(inside) == 1 and inside[0].is_dir()
    return inside[0] if is_folder else target, f"oci://{host}/{repository}@{pinned}"


class _Layer(msgspec.Struct, rename="camel"):
    digest: str
    media_type: str = ""
    annotations: dict[str, str] | None = None


class _Manifest(msgspec.Struct):
    layers: list[_Layer]


class _Registry:
    """One artifact's registry.

    Args:
        host: With its port.
        target: Host, repository, and tag or digest.
        address: As the user has written it.
    """

    def __init__(self, host: str, target: str, address: str) -> None:
        try:
            from oras.client import OrasClient
        except ImportError as error:
            raise MissingExtraError(address, package="oras", extra="storage") from error
        self._address = address
        self._client: Any = OrasClient(hostname=host, insecure=LOCAL.fullmatch(host) is not None)
        self._container = self._client.get_container(target)

    def read_manifest(self) -> tuple[list[_Layer], str]:
        """Return the layers and the digest of the manifest that lists them."""
        with self._told():
            self._client.auth.load_configs(self._container)
            url = f"{self._client.prefix}://{self._container.manifest_url()}"
            answer = self._client.do_request(url, "GET", headers={"Accept": ", ".join(MANIFESTS)})
            if answer.status_code != 200:
                raise ValueError(f"status {answer.status_code} {answer.reason}")
            found = json.loads(answer.content)
        try:
            layers = msgspec.convert(found, _Manifest).layers
        except msgspec.ValidationError as error:
            raise StorageError(
                f"{self._address} is no artifact with files: {error}.", hint="Push one: oras push HOST/NAME:TAG DIR"
            ) from None
        return layers, f"sha256:{hashlib.sha256(answer.content).hexdigest()}"

    def fetch(self, layer: _Layer, target: Path) -> None:
        """Write what one layer holds below a folder."""
        notes, digest = layer.annotations or {}, layer.digest
        title = PurePosixPath(notes.get(TITLE, ""))
        if not title.name or title.is_absolute() or ".." in title.parts:
            raise StorageError(
                f"{self._address} has a layer without a name that a file can have: '{title}'.",
                hint="Push the files of the Bundle, or its folder, with oras push.",
            )
        place = target / title
        place.parent.mkdir(parents=True, exist_ok=True)
        is_packed = notes.get(UNPACK) == "true" or layer.media_type == FOLDER_LAYER
        file = place.with_name(f"{place.name}.packed") if is_packed else place
        with self._told():
            self._client.download_blob(self._container, digest, str(file))
        with file.open("rb") as opened:
            if f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}" != digest:
                raise StorageError(f"A layer of {self._address} is damaged: {title}.", hint="Give the command again.")
        if is_packed:
            with self._told(), tarfile.open(file) as packed:
                # Whoever has pushed it may be anyone: nothing is written outside of the folder.
                packed.extractall(place.parent, filter="data")
            file.unlink()
            links = [one for one in place.parent.rglob("*") if one.is_symlink()]
            if links:
                raise StorageError(
                    f"A layer of {self._address} has a link, {links[0].name}, which would lead nowhere elsewhere.",
                    hint="Push the files themselves.",
                )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the library's errors into the user's, without what they quote of requests."""
        try:
            yield
        # The HTTP library's errors and the client's have no class in common.
        except Exception as error:  # noqa: BLE001
            line = next(iter(str(error).splitlines()), "").partition("://")[0]
            raise StorageError(
                f"{self._address} cannot be read: {type(error).__name__}, {line}",
                hint="Check the name, the tag, and that you are logged in: oras login HOST, or docker login HOST",
            ) from None
