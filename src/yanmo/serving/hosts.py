"""The names under which a service is reached, and patterns of them; it knows no header but Host and no route."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

__all__ = ["HostNames", "check_host_pattern", "is_address", "is_local"]

LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
HOST = re.compile(rb"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$")
PATTERN = re.compile(r"^(?:\*?\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$")
MAX_NAME = 253
"""No name in the DNS is longer."""


class HostNames:
    """The names of one service.

    Args:
        given: Names, and patterns such as ``*.svc`` and ``.cluster.local``: all names that end so.
        host: The address that it listens on.
    """

    def __init__(self, given: Iterable[str], *, host: str) -> None:
        patterns = [one.lower() for one in given]
        self._names = {*LOCAL_NAMES, socket.gethostname().lower(), host.lower()}
        self._names.update(one for one in patterns if not one.startswith(("*", ".")))
        self._endings = tuple({one.removeprefix("*") for one in patterns if one.startswith(("*", "."))})
        self._good: set[bytes] = set()

    def has(self, host: bytes) -> bool:
        """Return whether a Host header names the service; an IP address always does.

        A name that a stranger has pointed at this machine is no name of the service; an IP address cannot be that.
        """
        if host in self._good:
            return True
        match = HOST.match(host)
        # A dot at the end says that a name is whole, and is no part of it.
        name = match[1].decode().lower().removesuffix(".") if match else ""
        if not name or not (name in self._names or name.endswith(self._endings) or is_address(name)):
            return False
        # Bounded, as ports and capital letters make endlessly many spellings of one good name.
        if len(self._good) < 64:
            self._good.add(host)
        return True


def check_host_pattern(pattern: str) -> None:
    """Refuse what no Host header can ever match.

    Raises:
        ValueError: With the form that is allowed.
    """
    name = pattern.lower()
    if not is_address(name) and (len(name) > MAX_NAME or not PATTERN.match(name)):
        raise ValueError(
            "names such as api.example.com, or endings such as *.svc and .cluster.local, without scheme, port and path"
        )


def is_address(name: str) -> bool:
    """Return whether a name is an IP address, one of version 6 with or without brackets."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host.lower() in LOCAL_NAMES:
        return True
    return is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback
