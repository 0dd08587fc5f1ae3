"""What workers are told of files: an artifact's place, what it must be, and the folder in which paths begin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from yanmo.artifacts.base import Artifact
from yanmo.artifacts.copies import copy_again
from yanmo.artifacts.origins import Origin, origin_of
from yanmo.errors import ArtifactError, ConfigError

__all__ = ["ArtifactPlace", "check_folder", "work_in"]

ArtifactT = TypeVar("ArtifactT", bound=Artifact)


class ArtifactPlace(msgspec.Struct, frozen=True):
    """Where an artifact stands.

    Attributes:
        path: Its folder, on storage that the machines share.
        digest: What it must be.
        origin: Where the folder is a copy from; then each machine makes its own, and the path counts for nothing.
    """

    path: str
    digest: str
    origin: Origin | None = None

    @classmethod
    def of(cls, artifact: Artifact) -> ArtifactPlace:
        """Return the place of an artifact that is open here."""
        return cls(str(artifact.path.absolute()), artifact.digest, origin_of(artifact.path))

    def open(self, kind: type[ArtifactT]) -> ArtifactT:
        """Open the artifact on this machine.

        Raises:
            ArtifactError: It is not there, or another one.
            StorageError: It cannot be copied.
        """
        folder = copy_again(self.origin) if self.origin else check_folder(self.path)
        found = kind.open(folder)
        if found.digest != self.digest:
            raise ArtifactError(
                f"{self.path} is another {kind.__name__} for a worker than for the command.",
                hint=f"Give every machine the same {kind.__name__}, on storage they share.",
            )
        return found


def check_folder(folder: str) -> Path:
    """Return a folder that a worker needs.

    Raises:
        ArtifactError: It is not there.
    """
    if not Path(folder).is_dir():
        raise ArtifactError(
            f"A worker does not find the folder {folder}.",
            hint="Sources, Bundle and --out must be in the same place on every machine: on storage they share.",
        )
    return Path(folder)


def work_in(folder: str) -> None:
    """Let relative paths of this process begin where those of the command do.

    Raises:
        ConfigError: The folder is not there.
    """
    if not Path(folder).is_dir():
        raise ConfigError(
            f"A worker does not find the folder {folder}.",
            hint="The command's files must be in the same place on every machine: on storage they share.",
        )
    # A Report holds paths as they were given, so they are not made absolute.
    if Path.cwd() != Path(folder):
        os.chdir(folder)
