"""Digests that say when two pieces of work are the same: of files, of code, of a stage; it knows no artifact."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["code_version", "file_digest", "folder_digest", "library_versions", "stage_key"]

# What opening a checkpoint reads: a changed readme is no other work.
CHECKPOINT_SUFFIXES = {".json", ".safetensors", ".bin", ".txt", ".model"}
LIBRARIES = ("yanmo", "numpy", "polars", "tokenizers", "onnxruntime", "torch", "transformers", "scikit-learn")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Return a digest of a checkpoint's files, also of folders in it, so that other weights in it are other work."""
    # sentence-transformers keeps the network one folder below.
    found = (path for pattern in ("*", "*/*") for path in folder.glob(pattern))
    files = sorted(path for path in found if path.suffix in CHECKPOINT_SUFFIXES and path.is_file())
    digests = "".join(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n" for path in files)
    return hashlib.sha256(digests.encode()).hexdigest()


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that compute."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def code_version() -> str:
    """Return a digest of this package's own source, so that changed code means new work."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        # The path counts, too, so that a renamed module is changed code.
        digest.update(file.relative_to(root).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def stage_key(verb: str, parents: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """Return the digest of a piece of work: equal keys give equal artifacts.

    Args:
        verb: Its name.
        parents: Role to digest of the inputs.
        config: The resolved config as plain JSON values.
    """
    work = [verb, sorted(parents.items()), config, code_version(), sorted(library_versions().items())]
    return hashlib.sha256(json.dumps(work, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
