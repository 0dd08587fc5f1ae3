"""From a hub id to a folder in the hub's cache: what is fetched, and of which commit; it opens no model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from tqdm import tqdm

from yanmo.errors import ModelError
from yanmo.models import ModelSpec

__all__ = ["find_folder"]

HUB_SECONDS = 10
SMALL_SUFFIXES = {".json", ".txt", ".model", ".tiktoken", ".md"}
SAFE = re.compile(r"(0_\w+/)?model(-\d+-of-\d+)?\.safetensors")
PICKLED = re.compile(r"(0_\w+/)?pytorch_model(-\d+-of-\d+)?\.bin")
CACHED = ["config.json"]
"""Of a snapshot in the cache no more is asked for: what else a model needs is seen when it is opened."""
FOLDERS = re.compile(r"\d+_\w+")
"""The folders of sentence-transformers, which hold the settings of one step each."""


def find_folder(spec: ModelSpec, *, offline: bool = False, revision: str | None = None) -> Path:
    """Return the folder that holds a model's files: the local one, or a snapshot in the hub's cache.

    A snapshot's name is its commit. The hub is asked once whether it has the model: its own library asks again for half
    a minute, file by file. Where it does not answer, the model must be in the cache.

    Args:
        spec: A model with a source.
        offline: No network; then a hub id must be in the cache.
        revision: A commit, a branch or a tag of the hub's; by default the main branch.

    Raises:
        ModelError: The hub has no such model or revision, or does not answer and the model is not in the cache.
    """
    if spec.is_local:
        return Path(spec.source)
    found = None if offline else _ask(spec.source, revision)
    patterns = _wanted([one.rfilename for one in found.siblings or ()]) if found is not None else CACHED
    try:
        folder = snapshot_download(
            spec.source,
            revision=revision,
            allow_patterns=patterns,
            local_files_only=found is None,
            tqdm_class=_Bar,
        )
        return Path(str(folder))
    except Exception as error:  # whatever the HTTP library of this version of the hub's raises
        raise _nowhere(spec.source, _reason(error)) from error


class _Bar(tqdm):  # type: ignore[misc]
    """A bar that is silent where stderr is no terminal."""

    def __init__(self, *values: Any, **options: Any) -> None:
        # None lets tqdm look by itself whether stderr is a terminal.
        super().__init__(*values, **{**options, "disable": None})


def _ask(source: str, revision: str | None) -> Any:
    """Return what the hub knows of a model, or None where it does not answer and the model is in the cache."""
    try:
        return HfApi().model_info(source, revision=revision, timeout=HUB_SECONDS)
    except RevisionNotFoundError as error:
        raise ModelError(
            f"The hub's model {source} has no revision {revision}.", hint="Give a commit, a branch or a tag of it."
        ) from error
    except RepositoryNotFoundError as error:
        raise _nowhere(source, "the hub has no model of that name") from error
    except Exception as error:  # whatever the HTTP library of this version of the hub's raises
        # A text is the path of the file; other values say that it is not there, or that nobody has looked.
        if isinstance(try_to_load_from_cache(source, "config.json", revision=revision), str):
            return None
        raise _nowhere(source, f"the hub does not answer ({_reason(error)})") from error


def _wanted(names: Sequence[str]) -> list[str] | None:
    """Return which of a repository's files a model needs: small ones, and the weights in one form."""
    if not names:
        return None
    small = [name for name in names if Path(name).suffix in SMALL_SUFFIXES and _is_near(name)]
    for form in (SAFE, PICKLED):
        weights = [name for name in names if form.fullmatch(name)]
        if weights:
            return [*small, *weights]
    return small


def _is_near(name: str) -> bool:
    *folders, _ = name.split("/")
    return not folders or (len(folders) == 1 and FOLDERS.fullmatch(folders[0]) is not None)


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


def _nowhere(source: str, reason: str) -> ModelError:
    return ModelError(
        f"There is no folder {source}, and {reason}.",
        hint="Check the name: an existing folder, or a hub id of the form owner/name.",
    )
