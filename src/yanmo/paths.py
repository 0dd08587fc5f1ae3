"""Which paths are paths of this machine: no address of another one, and a name that can be written down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from yanmo.errors import ConfigError

__all__ = [
    "HUB",
    "PATH_HINT",
    "REGISTRIES",
    "as_address",
    "check_path",
    "is_of_registry",
    "local_path",
    "path_problem",
    "quoted_path",
    "storage_address",
]

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(?=[^/]|$)")
"""What an address begins with; pathlib leaves one slash of two. A drive of Windows has one letter."""
STORAGE = ("s3", "gs", "az")
"""Schemes of buckets, which some commands read and write."""
HUB = "hf"
"""Scheme of repositories of a Hugging Face hub, which can be read."""
REGISTRIES = ("models", "oci")
"""Schemes of whole artifacts in a registry, MLflow's or one of the Open Container Initiative, which can be read."""
NAMED = re.compile(r"[^/:=]+=(?=[A-Za-z][A-Za-z0-9+.-]+:/)")
"""A name before an address, which other programs take."""
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
PATH_HINT = "Copy what is elsewhere to this machine, and give its path here."


def as_address(value: object) -> str | None:
    """Return the address that a path is, such as ``s3://bucket/folder``, as it was written; else None."""
    found = ADDRESS.match(str(value)) if isinstance(value, str | Path) else None
    # Its registry has no host, so MLflow writes one slash.
    slashes = "/" if found and found[1] == "models" else "//"
    return f"{found[1]}:{slashes}{str(value)[found.end() :]}" if found else None


def is_of_registry(address: str) -> bool:
    """Return whether an address is that of a whole artifact in a registry."""
    return address.startswith(tuple(f"{scheme}:" for scheme in REGISTRIES))


def storage_address(value: object, *, what: str, is_registered: bool = False, is_written: bool = False) -> str | None:
    """Return the address that a path is, if objects can be read or written there; else None.

    Args:
        value: A path or address.
        what: The beginning of the message.
        is_registered: Whether an artifact of a registry is wanted, too.
        is_written: Whether something is to appear there.

    Raises:
        ConfigError: The address has no bucket, holds what belongs into the environment, or cannot be written.
    """
    address = as_address(value)
    if is_registered and is_of_registry(str(address)):
        return address
    scheme, _, rest = (address or "").partition("://")
    if address is not None and scheme == HUB:
        if is_written:
            raise ConfigError(
                f"{what} cannot be in a hub's repository, which is only read. Got '{address}' instead.",
                hint="Write to a folder of this machine, then: hf upload OWNER/NAME FOLDER",
            )
        return address.rstrip("/")
    if address is None or scheme not in STORAGE:
        return None
    bucket = rest.partition("/")[0]
    # Not quoted: it may be a key that somebody has written into the address.
    if not BUCKET.fullmatch(bucket) or "?" in rest:
        raise ConfigError(
            f"{what} must be an address like {scheme}://bucket/folder, with nothing else in it.",
            hint="Credentials come from the environment alone.",
        )
    return address.rstrip("/")


def path_problem(value: object) -> str | None:
    """Return what a path must be and is not, as the end of a sentence with "must be"; None where it is right."""
    if not isinstance(value, str | Path):
        return None
    if as_address(value):
        return "a path on this machine"
    if NAMED.match(str(value)):
        return "a path or an address alone, without a name and = before it"
    text = str(value)
    # The system ends a name at a NUL; Python stands for bytes that are no UTF-8 by lone surrogates.
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return "a path whose name is text"
    return None


def quoted_path(value: object) -> str:
    """Return a refused value as a message quotes it: an address as it was written, another path as its text."""
    # pathlib has taken a slash out of an address, which looks like a mistake of ours otherwise.
    return repr(as_address(value) or (str(value) if isinstance(value, Path) else value))


def check_path(value: object, *, what: str) -> None:
    """Refuse a path, or one of several, that is none of this machine's.

    Args:
        value: A path, or several; what is neither is left to others.
        what: The beginning of the message, such as "The 'out' parameter of train".

    Raises:
        ConfigError: It is an address of another machine, or no text.
    """
    values: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
    for one in values:
        problem = path_problem(one)
        if problem:
            raise ConfigError(f"{what} must be {problem}. Got {quoted_path(one)} instead.", hint=PATH_HINT)


def local_path(value: str | Path, *, what: str) -> Path:
    """Return a path of this machine; arguments and errors are those of :func:`check_path`."""
    check_path(value, what=what)
    return Path(value)
