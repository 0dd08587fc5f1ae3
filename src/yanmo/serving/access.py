"""Who may ask what: Host, Origin, API key, quota; it knows no model. What is not allowed here is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from yanmo.errors import ServingError
from yanmo.serving.config import AccessOptions
from yanmo.serving.hosts import HostNames, is_local
from yanmo.serving.keys import ApiKey, KeyRing
from yanmo.serving.origins import Origins
from yanmo.serving.problems import Problem

__all__ = ["NEEDS_NO_KEY", "Access", "Need"]

Need = Literal["nothing", "health", "predict", "admin"]
"""What a key must allow. Health needs no key and no good Host, as balancers ask by whatever name they have."""
NEEDS_NO_KEY = ("nothing", "health")


class Access:
    """The rules of one service.

    Attributes:
        origins: Which pages may ask.
        keys: The API keys; None lets everybody in.

    Raises:
        ServingError: Others than this machine reach it, and nobody said who may.
        ConfigError: The file of keys cannot be read.
    """

    def __init__(self, config: AccessOptions) -> None:
        self._names = HostNames(config.hosts, host=config.host)
        self.origins = Origins(config.cors, config.proxies, self._names)
        self.keys: KeyRing | None = None
        if config.api_keys not in (None, "none"):
            self.keys = KeyRing(Path(str(config.api_keys)))
        elif config.api_keys is None and not is_local(config.host):
            raise ServingError(
                f"Others reach {config.host}, so the service needs API keys.",
                hint="Make one with yanmo key LABEL --file keys.toml and give --api-keys keys.toml; "
                "--api-keys none lets everybody in.",
            )

    def check_host(self, headers: Mapping[bytes, bytes]) -> None:
        """Refuse a request for another host.

        Raises:
            Problem: As said.
        """
        if not self._names.has(headers.get(b"host", b"")):
            raise Problem("wrong_host", "Ask under a name that --hosts gives, or by the address.")

    def admit(self, headers: Mapping[bytes, bytes], need: Need) -> ApiKey | None:
        """Return the key that opens a route; None where none is needed.

        Raises:
            Problem: There is none, a wrong one, one that may not, or its quota is used up.
        """
        if need in NEEDS_NO_KEY or self.keys is None:
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


def _challenge(code: str, detail: str) -> Problem:
    # HTTP wants this header beside every 401.
    return Problem(code, detail, headers={"www-authenticate": 'Bearer realm="yanmo"'})
