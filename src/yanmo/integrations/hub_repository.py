"""Repositories of a Hugging Face hub, of models and of datasets, read object by object; it knows no artifact.

The hub is the one that HF_ENDPOINT names, and the token that of HF_TOKEN or of a login. A branch or tag is resolved to
a commit once, and everything is read of that commit.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from yanmo.errors import ConfigError, MissingExtraError, StorageError
from yanmo.integrations.stored_objects import StoredObject

__all__ = ["HubRepository", "open_repository"]

REVISION = r"refs/(?:pr/\d+|convert/[\w.-]+)|(?:[\w.-]|%2F)+"
"""As the hub's own addresses have it: a slash in the name of a branch is %2F, but in the hub's own references."""
ADDRESS = re.compile(rf"hf://(datasets/)?([\w.-]+/[\w.-]+?)(?:@({REVISION}))?(?:/(.*))?")
HUB_SECONDS = 20.0


def open_repository(address: str) -> tuple[HubRepository, str]:
    """Return the repository of an address, at the commit that it means now, and the path in it.

    Args:
        address: ``hf://OWNER/NAME[@REVISION][/PATH]``, or with ``datasets/`` before the owner.

    Raises:
        ConfigError: The address is of another form.
        MissingExtraError: huggingface_hub is not installed.
        StorageError: There is no such repository or revision, or the hub cannot be reached.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigError(
            f"A hub's address must be hf://OWNER/NAME or hf://datasets/OWNER/NAME, then @REVISION and /PATH. "
            f"Got '{address}' instead.",
            hint="Name the owner and the repository; a slash in the name of a branch is %2F.",
        )
    kind, name, revision, path = found.groups()
    return HubRepository(name, "dataset" if kind else "model", revision and unquote(revision)), (path or "").strip("/")


class HubRepository:
    """A repository at one commit.

    Args:
        name: Owner and name.
        kind: model or dataset.
        revision: Branch, tag or commit; None for the main branch.
    """

    def __init__(self, name: str, kind: str, revision: str | None) -> None:
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise MissingExtraError(f"hf://{name}", package="huggingface_hub", extra="storage") from error
        # Asked each time: the library itself reads the environment once, when it is imported.
        self._api: Any = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        self._name, self._kind = name, kind
        shown = f"hf://{'datasets/' if kind == 'dataset' else ''}{name}"
        self.address = f"{shown}@{revision}" if revision else shown
        with self._told():
            self._commit = self._api.repo_info(name, revision=revision, repo_type=kind, timeout=HUB_SECONDS).sha
        self.address = f"{shown}@{self._commit}"

    @functools.cached_property
    def _objects(self) -> list[StoredObject]:
        names = {"repo_type": self._kind, "revision": self._commit}
        with self._told():
            found = [*self._api.list_repo_tree(self._name, recursive=True, **names)]
        # What has no size is a folder.
        files = [StoredObject(one.path, one.size, one.blob_id) for one in found if hasattr(one, "size")]
        return sorted(files, key=lambda one: one.path)

    def list(self, folder: str) -> list[StoredObject]:
        """Return the objects of a folder, those in folders of it, too, in the order of their paths."""
        return [one for one in self._objects if not folder or one.path.startswith(f"{folder}/")]

    def find(self, path: str) -> StoredObject | None:
        """Return what stands at a path, None where nothing does."""
        return next((one for one in self._objects if one.path == path), None)

    def read(self, path: str) -> bytes | None:
        """Return a small object's content, None where nothing stands there."""
        if self.find(path) is None:
            return None
        with tempfile.TemporaryDirectory(prefix="yanmo-") as folder:
            return self._download(path, folder).read_bytes()

    def fetch(self, path: str, target: Path, version: str) -> None:
        """Write an object to a file; of a commit nothing changes, so the version is not asked for again."""
        del version
        # Beside the target, so that large files are moved and not written twice.
        with tempfile.TemporaryDirectory(prefix=".hub-", dir=target.parent) as folder:
            self._download(path, folder).replace(target)

    def _download(self, path: str, folder: str) -> Path:
        with self._told(path):
            names = {"repo_id": self._name, "repo_type": self._kind, "revision": self._commit}
            return Path(self._api.hf_hub_download(filename=path, local_dir=folder, **names))

    @contextlib.contextmanager
    def _told(self, path: str = "") -> Iterator[None]:
        """Turn the library's errors into the user's, without what they quote of requests."""
        place = f"{self.address}/{path}" if path else self.address
        try:
            yield
        # The HTTP library's, the hub's and its cache's errors have no class in common.
        except Exception as error:  # noqa: BLE001
            raise StorageError(
                f"{place} cannot be read: {type(error).__name__}, {_first_line(error)}",
                hint="Check the name, the revision, the token in HF_TOKEN and the hub that HF_ENDPOINT names.",
            ) from None


def _first_line(error: Exception) -> str:
    line = next((line for line in str(error).splitlines() if line.strip()), "no answer").strip()
    # What follows names the request, with its address.
    return re.split(r"\s*\(Request ID|\s+for url\b", line)[0].rstrip(".") + "."
