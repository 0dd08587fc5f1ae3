"""Who may ask what: Host, Origin, API key, quota; it knows no model. What is not allowed here is refused."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from yanmo.errors import ServingError
from yanmo.serving.config import ServeConfig
from yanmo.serving.keys import ApiKey, KeyRing
from yanmo.serving.problems import Problem

__all__ = ["Access", "Need"]

Need = Literal["nothing", "predict", "admin"]
LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
HOST = re.compile(rb"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$")


class Access:
    """The rules of one service.

    Raises:
        ServingError: Others than this machine reach it, and nobody said who may.
        ConfigError: The file of keys cannot be read.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._hosts = {*LOCAL_NAMES, socket.gethostname().lower(), config.host.lower()}
        self._hosts.update(name.lower() for name in config.hosts)
        self._good: set[bytes] = set()
        self.keys: KeyRing | None = None
        if config.api_keys not in (None, "none"):
            self.keys = KeyRing(Path(str(config.api_keys)))
        elif config.api_keys is None and not _is_local(config.host):
            raise ServingError(
                f"Others reach {config.host}, so the service needs API keys.",
                hint="Make one with yanmo key LABEL --file keys.toml and give --api-keys keys.toml; "
                "--api-keys none lets everybody in.",
            )

    def check_host(self, headers: Mapping[bytes, bytes]) -> None:
        """Refuse a request for another host, or by a page of another origin.

        A name that a stranger has pointed at this machine is no name of the service; an IP address cannot be that.

        Raises:
            Problem: As said.
        """
        host = headers.get(b"host", b"")
        if host not in self._good:
            self._check_name(host)
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2].lower() != host.lower():
            raise Problem("wrong_origin", "Only pages of the service itself may ask.")
        # A link on another page may lead here, which is navigation; its scripts may not ask.
        is_foreign = headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
        if is_foreign and headers.get(b"sec-fetch-mode") != b"navigate":
            raise Problem("wrong_origin", "Only pages of the service itself may ask.")

    def admit(self, headers: Mapping[bytes, bytes], need: Need) -> ApiKey | None:
        """Return the key that opens a route; None where none is needed.

        Raises:
            Problem: There is none, a wrong one, one that may not, or its quota is used up.
        """
        if need == "nothing" or self.keys is None:
            return None
        secret = headers.get(b"x-api-key")
        if secret is None:
            scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not secret:
                raise _challenge("no_key", "Send the header 'authorization: Bearer KEY' or 'x-api-key: KEY'.")
        key = self.keys.find(secret.strip())
        if key is None:
            raise _challenge("wrong_key", "Send a key that the service knows.")
        if need == "admin" and key.may != "admin":
            raise Problem("not_allowed", "This route needs a key that may admin.")
        self.keys.charge(key)
        return key

    def _check_name(self, host: bytes) -> None:
        match = HOST.match(host)
        name = match[1].decode().lower() if match else ""
        if not name or not (name in self._hosts or _is_address(name)):
            raise Problem("wrong_host", "Ask under a name that --hosts gives, or by the address.")
        # Bounded, as ports and capital letters make endlessly many spellings of one good name.
        if len(self._good) < 64:
            self._good.add(host)


def _challenge(code: str, detail: str) -> Problem:
    # HTTP wants this header beside every 401.
    return Problem(code, detail, headers={"www-authenticate": 'Bearer realm="yanmo"'})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    if host.lower() in LOCAL_NAMES:
        return True
    return _is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback
