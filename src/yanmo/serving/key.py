"""The key command: a new API key for the service's file of keys; it starts no service."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from yanmo.artifacts.placing import lock
from yanmo.config import Config
from yanmo.errors import ConfigError
from yanmo.serving.keys import LABEL, Right, make_key, parse_quota, read_keys

__all__ = ["KeyConfig", "MadeKey", "key"]


class KeyConfig(Config):
    """What the key is called and what it may."""

    label: str
    """Whose key it is: letters, digits, dots, hyphens; it stands in logs."""
    file: Path = Path("keys.toml")
    """The file of keys, which is made if it is not there; it holds hashes, never a key."""
    may: Right = "predict"
    """predict, or admin, which may also reload models and read metrics."""
    quota: str | None = Field(default=None)
    """How many requests are allowed, such as 100/second or 5000/minute; without it any number."""

    @field_validator("label")
    @classmethod
    def _check_label(cls, value: str) -> str:
        if not re.match(LABEL, value):
            raise ValueError("1 to 64 letters, digits, dots, hyphens and underscores")
        return value


@dataclass(frozen=True)
class MadeKey:
    """A key that was made; it is shown once."""

    label: str
    secret: str
    file: Path

    def summary(self) -> dict[str, Any]:
        """Return what is printed."""
        return {"label": self.label, "key": self.secret, "file": str(self.file)}


def key(config: KeyConfig) -> MadeKey:
    """Make an API key for the service.

    A service that runs reads the file again at once. To take a key away, delete its entry. A new file is for its owner
    alone; one that is there keeps its owner, group and mode.

    Args:
        config: Its label, and what it may.

    Raises:
        ConfigError: The label is taken, the quota is wrong, or the file is damaged or cannot be written.
    """
    if config.quota is not None:
        parse_quota(config.label, config.quota)
    file = config.file
    # Held from reading to writing: of two commands at the same time, one key would be lost.
    with lock(file.parent / f".{file.name}.work"):
        entries = read_keys(file) if file.exists() else []
        if config.label in {one.label for one in entries}:
            raise ConfigError(f"{file} has a key '{config.label}' already.", hint="Choose another --label.")
        secret, digest = make_key()
        quota = f'quota = "{config.quota}"\n' if config.quota is not None else ""
        entry = f'[[key]]\nlabel = "{config.label}"\nsha256 = "{digest}"\nmay = "{config.may}"\n{quota}'
        before = file.read_text(encoding="utf-8").rstrip("\n") + "\n\n" if entries else ""
        _write(file, before + entry)
    return MadeKey(config.label, secret, file)


def _write(file: Path, text: str) -> None:
    """Put the text in place by one rename: as readable as the file that stood there, else for the owner alone."""
    staging = file.with_name(f".{file.name}.new")
    try:
        staging.unlink(missing_ok=True)
        # Closed to others before there is anything in it.
        staging.touch(mode=0o600)
        staging.write_text(text, encoding="utf-8")
        if file.exists():
            found = file.stat()
            # The owner comes first: a mode that lets a group in must not let in the group of who runs this.
            os.chown(staging, found.st_uid, found.st_gid)
            staging.chmod(stat.S_IMODE(found.st_mode))
        os.replace(staging, file)  # noqa: PTH105 - the same on every system
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {os.strerror(error.errno or 0)}.",
            hint="Run it as the file's owner, or as root: its owner, group and mode are kept.",
        ) from error
    finally:
        staging.unlink(missing_ok=True)
