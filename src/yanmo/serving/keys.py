"""API keys: a file of hashes with labels, what each may do, and how much; read again when it changes.

A key is 32 random bytes, so one round of SHA-256 keeps it as well as any slow hash would.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import os
import secrets
import time
import tomllib
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import limits
import msgspec
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from yanmo.errors import ConfigError, YanmoError
from yanmo.paths import check_path
from yanmo.serving.problems import Problem

__all__ = ["LABEL", "ApiKey", "KeyRing", "Right", "make_key", "parse_quota", "read_keys"]

logger = logging.getLogger(__name__)

Right: TypeAlias = Literal["predict", "admin"]
LABEL = r"^[A-Za-z0-9_.-]{1,64}$"


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the file.

    Attributes:
        label: Whose it is; it stands in logs and metrics.
        sha256: Of the key, in hex.
        may: predict, or admin, which may also predict, reload and read metrics.
        quota: How many requests, such as ``100/second`` or ``1000/minute``; None for any number.
    """

    label: Annotated[str, msgspec.Meta(pattern=LABEL)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    may: Right = "predict"
    quota: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    key: list[ApiKey] = []


class KeyRing:
    """The keys of a file.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Looked at before it is read: a change in between is then seen at the next look.
        self._state = self._look()
        self._keys = read_keys(path)
        # Stays when the file is read again, so that no quota begins anew.
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._quotas = _quotas(self._keys)

    def refresh(self) -> None:
        """Read the file again if it has changed; a damaged one leaves the keys as they were."""
        state = self._look()
        if state == self._state:
            return
        # Also of a damaged file, so that it is complained about once.
        self._state = state
        try:
            keys = read_keys(self._path)
            self._quotas, self._keys = _quotas(keys), keys
        except YanmoError as error:
            logger.error("The API keys stay as they were: %s", error.message)  # noqa: TRY400
        else:
            logger.info("The API keys were read again: %d.", len(keys))

    def find(self, secret: bytes) -> ApiKey | None:
        """Return the entry of a key; the time it takes does not tell how near a wrong one came."""
        digest = hashlib.sha256(secret).hexdigest()
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def charge(self, key: ApiKey) -> None:
        """Count a request against a key's quota.

        Raises:
            Problem: It is used up.
        """
        quota = self._quotas.get(key.label)
        if quota is None or self._limiter.hit(quota, key.label):
            return
        reset = self._limiter.get_window_stats(quota, key.label).reset_time
        # The library tells the end of the window by the wall clock.
        seconds = max(1, math.ceil(reset - time.time()))
        raise Problem("quota_exceeded", "The quota is {quota}.", headers={"retry-after": str(seconds)}, quota=key.quota)

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0, 0)
        # The inode tells a file that was renamed into place within one tick of the clock.
        return (found.st_mtime_ns, found.st_size, found.st_ino)


def read_keys(path: Path) -> list[ApiKey]:
    """Return the keys of a file.

    Raises:
        ConfigError: It is missing or damaged, or a label or quota is wrong.
    """
    check_path(path, what="The file of API keys")
    hint = "yanmo key LABEL --file FILE makes one."
    try:
        keys = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).key
    except OSError as error:
        raise ConfigError(f"The API keys {path} cannot be read: {os.strerror(error.errno or 0)}.", hint=hint) from error
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(f"The API keys {path} are damaged: {error}.", hint=hint) from error
    labels = [key.label for key in keys]
    if len(set(labels)) < len(labels):
        raise ConfigError(f"The API keys {path} have a label twice.", hint=hint)
    _quotas(keys)
    return keys


def make_key() -> tuple[str, str]:
    """Return a new key, and its hash for the file."""
    secret = f"yk_{secrets.token_urlsafe(32)}"
    return secret, hashlib.sha256(secret.encode()).hexdigest()


def parse_quota(label: str, quota: str) -> limits.RateLimitItem:
    """Return a quota such as ``100/second``.

    Raises:
        ConfigError: It is no quota.
    """
    try:
        return limits.parse(quota)
    except ValueError:
        raise ConfigError(
            f"The quota of the API key '{label}' must be like 100/second or 5000/minute. Got {quota!r} instead."
        ) from None


def _quotas(keys: list[ApiKey]) -> dict[str, limits.RateLimitItem]:
    return {key.label: parse_quota(key.label, key.quota) for key in keys if key.quota is not None}
