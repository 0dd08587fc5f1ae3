"""The folder that holds a verb's resumable state: whose work it is, and what has changed since; it knows no verb.

The folder says in ``work.json`` what it was begun with. Other work does not silently go on from there, nor silently
throw away what is there: it is refused with what has changed, or begins anew where that was asked for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from yanmo.artifacts.durable import put
from yanmo.artifacts.identity import code_version, library_versions
from yanmo.artifacts.placing import LOCK
from yanmo.errors import ConfigError
from yanmo.integrations.tracking import STATE as TOLD

__all__ = ["claim", "has_work", "other_work", "work_facts"]

WORK = "work.json"
PARTIAL = f".{WORK}.partial"


def claim(folder: Path, *, parents: Mapping[str, str], config: Mapping[str, Any], fork: bool = False) -> None:
    """Make a work folder that of some work, or find that it is so already.

    Args:
        folder: The folder, held by this process alone.
        parents: Role to digest of what the work is made from.
        config: Its resolved config as plain JSON values.
        fork: Where the folder was begun with something else, begin anew.

    Raises:
        ConfigError: It was begun with something else, and the message says what has changed; or nobody can tell.
    """
    work, file = work_facts(parents, config), folder / WORK
    before = _read(file)
    if before == work:
        return
    if not fork and has_work(folder):
        raise other_work(folder, before, work)
    # What others began goes before the new claim is written: a kill in between leaves their claim and no work, which
    # the next call may take over.
    for path in [path for path in folder.iterdir() if path.name not in {LOCK, WORK}]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    partial = folder / PARTIAL
    partial.write_text(json.dumps(work, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    put(partial, file)


def has_work(folder: Path) -> bool:
    """Return whether a work folder holds more than what says whose work it is."""
    return any(path.name not in {LOCK, WORK, PARTIAL, TOLD} for path in folder.iterdir())


def work_facts(parents: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells one work from another, as plain JSON values.

    Args:
        parents: Role to digest of what it is made from.
        config: Its resolved config.
    """
    # Through JSON and back, so that tuples are equal to the lists that are read.
    facts: dict[str, Any] = json.loads(json.dumps({**config, **_around(parents)}))
    return facts


def other_work(folder: Path | str, before: Mapping[str, Any] | None, work: Mapping[str, Any]) -> ConfigError:
    """Return the refusal of work that is not what a place was begun with, with what has changed.

    Args:
        folder: The place.
        before: The facts of the work there, None where they cannot be read.
        work: Those of the work that was to go on.
    """
    if before is None:
        return ConfigError(
            f"There is work in {folder}, but {WORK} cannot be read: nobody can tell what it was begun with.",
            hint="Give --fork (fork = true) to begin anew, or choose another --out.",
        )
    return ConfigError(
        f"The work in {folder} was begun with something else:\n" + "\n".join(_changes(before, work)),
        hint="Give the same again to go on with it, or --fork (fork = true) to begin anew.",
    )


def _around(parents: Mapping[str, str]) -> dict[str, str]:
    """Return what else the result depends on, under names that no config key has."""
    digests = {f"input {role}": digest for role, digest in parents.items()}
    versions = {f"version of {name}": version for name, version in library_versions().items()}
    return {**digests, **versions, "version of Yanmo's source": code_version()}


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old != new:
            yield f"  {name}: {_shown(old)} → {_shown(new)}"


def _shown(value: Any) -> str:
    # A digest is shortened: its first digits tell it from another.
    return "none" if value is None else str(value)[:16] if isinstance(value, str) and len(value) == 64 else str(value)
