"""What a verb reads and makes at addresses: copies before it runs, and an upload behind it; it knows no verb."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yanmo.artifacts.base import Artifact
from yanmo.artifacts.copies import copy_artifact, keep_copy
from yanmo.artifacts.origins import Origin, made_place, note_origin
from yanmo.artifacts.placing import lock
from yanmo.artifacts.uploads import find_standing, upload
from yanmo.paths import as_address

__all__ = ["copy_inputs", "on_the_way", "send_on"]


def copy_inputs(values: Any, *, is_artifact: bool) -> Any:
    """Return what was given for an input with copies in the place of addresses, those of a folder one by one.

    Args:
        values: A path, an artifact, or several.
        is_artifact: Whether artifacts are wanted, and no raw files.

    Raises:
        YanmoError: An address has nothing that can be read.
    """
    if not isinstance(values, list | tuple):
        found = _copies(values, is_artifact=is_artifact)
        return found[0] if len(found) == 1 else found
    return [copy for value in values for copy in _copies(value, is_artifact=is_artifact)]


def _copies(value: Any, *, is_artifact: bool) -> list[Any]:
    address = as_address(value)
    if address is None:
        return [value]
    if is_artifact:
        return [copy_artifact(address.rstrip("/"))]
    # Here, and not above: whoever serves reads no raw files, and has no room of data.
    from yanmo.data.remote_files import copy_sources

    return list(copy_sources(address.rstrip("/")))


@contextmanager
def on_the_way(address: str, *, replace: bool) -> Iterator[Path]:
    """Give a place on this machine for what is to appear at an address, held by this process alone.

    Raises:
        ArtifactError: Something stands at the address.
        BusyError: Another process of this machine makes it.
        StorageError: The bucket cannot be read.
    """
    # What was begun there part by part may be gone on with: whoever does knows by what.
    find_standing(address, replace=replace, anew=True)
    place = made_place(address)
    with lock(place.parent):
        note_origin(place, Origin(address, ""))
        # What a command left that could not write to the bucket.
        shutil.rmtree(place, ignore_errors=True)
        yield place
        shutil.rmtree(place, ignore_errors=True)


def send_on(made: Any, place: Path, address: str, *, replace: bool) -> Any:
    """Write an artifact that was made on the way to its address, and return it as it is there.

    Args:
        made: What the verb has returned; one that stands at the address already is left alone.
        place: Where it stands here.
        address: Where it is to appear.
        replace: Whether an artifact there is replaced.
    """
    if not isinstance(made, Artifact) or made.path != place:
        return made
    upload(place, address, replace=replace)
    return type(made).open(keep_copy(place, address, made.digest), verify=False)
