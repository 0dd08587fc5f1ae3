"""What every artifact shares: the manifest, digests, opening, publishing; it knows no single kind.

The manifest is written last, so a folder that exists is whole. It holds no time and no path, so equal inputs give equal
artifacts.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

import msgspec

from yanmo.artifacts.durable import sync
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import file_digest, library_versions, stage_key
from yanmo.artifacts.origins import shown_place
from yanmo.artifacts.placing import LOCK, MANIFEST, finish_swap, place_folder
from yanmo.errors import ArtifactError
from yanmo.paths import local_path

__all__ = [
    "SCHEMA_VERSION",
    "Artifact",
    "FileEntry",
    "Identity",
    "Manifest",
    "check_files",
    "check_name",
    "manifest_bytes",
    "numbered",
    "parse_manifest",
    "publish",
    "read_manifest",
]

SCHEMA_VERSION = 2
READ_AND_WRITE = 0o666


class FileEntry(msgspec.Struct, frozen=True):
    """One file of an artifact: its SHA-256 in hex and its size in bytes."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of ``manifest.json``.

    Attributes:
        schema_version: Of this structure.
        kind: dataset, bundle, predictions or report.
        task: Name of the task.
        labels: All labels, in the order of every column of probabilities.
        parents: Role to digest of what the artifact was made from.
        config: The resolved config of the verb, with the verb's name under ``verb``.
        seed: Of every random choice; None where there was none.
        versions: Of Yanmo and of the libraries that computed.
        key: Digest of verb, parents, config and code: equal keys mean equal work.
        info: What only this kind has.
        files: Relative path to digest and size, for every file but the manifest.
    """

    schema_version: int = SCHEMA_VERSION
    kind: str
    task: str
    labels: list[str]
    parents: dict[str, str]
    config: dict[str, Any]
    seed: int | None = None
    versions: dict[str, str]
    key: str
    info: dict[str, Any] = {}
    files: dict[str, FileEntry]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is known of an artifact before there is a file of it: the attributes are those of its manifest.

    ``verb`` is who makes it, ``config`` the resolved config as plain JSON values. ``labels``, ``parents`` and ``info``
    may still be added to while the folder is filled.
    """

    kind: str
    verb: str
    task: str
    labels: list[str]
    parents: dict[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key of the work."""
        return stage_key(self.verb, self.parents, self.config)

    def manifest(self, *, key: str = "", files: Mapping[str, FileEntry] | None = None) -> Manifest:
        """Return the manifest; without key and files that of a draft, whose folder is being filled."""
        return Manifest(
            kind=self.kind,
            task=self.task,
            labels=self.labels,
            # Sorted, so that the order in which parents were given changes no byte.
            parents=dict(sorted(self.parents.items())),
            config={"verb": self.verb, **self.config},
            seed=self.seed,
            versions=library_versions(),
            key=key,
            info=self.info,
            files=dict(files or {}),
        )


class Artifact:
    """An opened folder. Nothing in it ever changes."""

    kind: ClassVar[str]

    def __init__(self, path: Path, manifest: Manifest, digest: str) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> Self:
        """Open a folder and check that it is whole.

        Args:
            path: The folder.
            verify: Also compare every file with its digest.

        Raises:
            ArtifactError: The folder is missing, changed, newer than this version, or of another kind.
        """
        path = local_path(path, what="The folder of an artifact")
        manifest, digest = read_manifest(path)
        if manifest.kind != cls.kind:
            raise ArtifactError(
                f"{path} is a {manifest.kind} artifact; a {cls.kind} artifact is wanted.",
                hint=f"Give the folder of a {cls.__name__}.",
            )
        if verify:
            check_files(path, manifest)
        return cls(path, manifest, digest)

    @property
    def task(self) -> str:
        """The task's name."""
        return self.manifest.task

    @property
    def labels(self) -> list[str]:
        """All labels, in the order of every column of probabilities."""
        return self.manifest.labels

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def size_bytes(self) -> int:
        """The sum of all files."""
        return sum(entry.bytes for entry in self.manifest.files.values())

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints and the screen's table shows."""
        return {
            "kind": self.kind,
            "path": shown_place(self.path),
            "digest": self.digest,
            "task": self.task,
            "size_mb": round(self.size_bytes / 1e6, 3),
        }


def numbered(role: str, artifacts: Iterable[Artifact]) -> dict[str, str]:
    """Return the parents of what is made from several artifacts: ``role_1`` and so on to their digests, in order."""
    digests = [one.digest for one in artifacts]
    # Zeros in front, because a manifest sorts its parents by name.
    width = len(str(len(digests)))
    return {f"{role}_{number:0{width}}": digest for number, digest in enumerate(digests, 1)}


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """Return the manifest of an artifact folder and the folder's digest.

    Raises:
        ArtifactError: There is none, or it cannot be read by this version.
    """
    # First, for a kill may have left the folder between two names.
    finish_swap(path)
    adopted = f"To take in a model that was trained elsewhere: yanmo adopt {path} --out BUNDLE"
    if not path.is_dir():
        is_graph = path.suffix == ".onnx" and path.is_file()
        hint = adopted if is_graph else "Check the path; --out of an earlier command made it."
        raise ArtifactError(f"There is no folder {path}.", hint=hint)
    try:
        raw = (path / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        is_model = any((path / name).is_file() for name in ("config.json", "modules.json", "model.onnx"))
        hint = adopted if is_model else "Give a folder that a command wrote with --out."
        raise ArtifactError(f"{path} is no artifact: it has no {MANIFEST}.", hint=hint) from error
    return parse_manifest(raw, path / MANIFEST), hashlib.sha256(raw).hexdigest()


def parse_manifest(raw: bytes, file: Path) -> Manifest:
    """Return a manifest.

    Args:
        raw: Its bytes.
        file: Where it stands, for the message.

    Raises:
        ArtifactError: It cannot be read by this version.
    """
    try:
        # Read alone and first: what a newer version has added, the Struct would refuse as damage.
        version = msgspec.json.decode(raw)["schema_version"]
        if version > SCHEMA_VERSION:
            raise ArtifactError(
                f"{file.parent} has schema version {version}; this Yanmo reads versions up to {SCHEMA_VERSION}.",
                hint="pip install --upgrade yanmo",
            )
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{file} is damaged: {error}.", hint="Copy the folder again, or make it anew.") from error


def check_files(path: Path, manifest: Manifest) -> None:
    """Compare every file of a folder with the manifest.

    Raises:
        ArtifactError: A file is missing, changed, a link, or outside of the folder.
    """
    for name, entry in manifest.files.items():
        file = path / name
        check_name(path, name)
        if not file.is_file():
            raise ArtifactError(f"{file} is missing.", hint="Copy the folder again, or make it anew.")
        # The size first: a cut-off file need not be read.
        if file.stat().st_size != entry.bytes or file_digest(file) != entry.sha256:
            raise ArtifactError(
                f"{file} was changed: it does not match the digest in {MANIFEST}.",
                hint="Copy the folder again, or make it anew; artifacts are never edited.",
            )


def check_name(path: Path, name: str) -> None:
    """Refuse the name of a file that leads out of a folder, which may come from anyone.

    Args:
        path: The folder.
        name: In its manifest.

    Raises:
        ArtifactError: It is outside of the folder, or a link.
    """
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or (path / name).is_symlink():
        raise ArtifactError(f"{path / MANIFEST} names {name!r}, which is outside of the folder or a link.")


@contextlib.contextmanager
def publish(out: str | Path, identity: Identity, *, effects: Effects = NO_EFFECTS) -> Iterator[Path]:
    """Give a staging folder to fill; when the block ends well it becomes the artifact ``out`` by one rename.

    Args:
        out: Where the artifact appears.
        identity: What its manifest says; labels, parents and info may be added to inside the block.
        effects: The key that was asked for, and whether an artifact that stands at ``out`` is replaced.

    Yields:
        The staging folder. If the block raises, the folder is removed and ``out`` is as it was.

    Raises:
        ArtifactError: ``out`` exists, or cannot be written.
        BusyError: Another process makes it.
    """
    with place_folder(out, effects=effects) as staging:
        yield staging
        manifest = identity.manifest(key=effects.key or identity.key, files=_list_files(staging))
        _write_manifest(staging, manifest)


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return a manifest as its file has it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _list_files(folder: Path) -> dict[str, FileEntry]:
    # The lock is held until the folder stands in its place, and is no part of it.
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / LOCK)
    # safetensors writes files for their owner alone, and a service often runs as somebody else: what may be read of the
    # folder may be read of them.
    mode = folder.stat().st_mode & READ_AND_WRITE
    for file in files:
        file.chmod(mode)
    # On disk before the manifest that names them: after a power cut it must not promise what is lost.
    for file in files:
        sync(file)
    return {
        file.relative_to(folder).as_posix(): FileEntry(sha256=file_digest(file), bytes=file.stat().st_size)
        for file in files
    }


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    file = folder / MANIFEST
    file.write_bytes(manifest_bytes(manifest))
    sync(file)
    sync(folder)
