"""What a search keeps from run to run: JSON files that appear whole, and the time it has taken; it knows no stage."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yanmo.artifacts.durable import put

__all__ = ["Clock", "LateError", "TimeLimit", "read_json", "write_json"]

RESERVE = 0.05
"""Share of the time that no training may use: it is kept for what is made of the trained ones in seconds."""


class LateError(Exception):
    """A training has used up the time of the search; its checkpoint stays."""


class Clock:
    """The time of a search, over all its runs; a kill loses what has passed since the last :meth:`save`.

    Args:
        file: Where it is kept.
        max_seconds: What all runs together may take.
    """

    def __init__(self, file: Path, max_seconds: float) -> None:
        self._file = file
        self._max_seconds = max_seconds
        self._before = float((read_json(file) or {"seconds": 0.0})["seconds"])
        # Not the time of day, which may be set back while a search runs.
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time that the search has taken so far."""
        return self._before + time.monotonic() - self._start

    @property
    def left(self) -> float:
        """The seconds that trainings may still take; it can be negative."""
        return (1 - RESERVE) * self._max_seconds - self.seconds

    def save(self) -> None:
        """Keep the time."""
        write_json(self._file, {"seconds": self.seconds})

    def watch(self, _: Mapping[str, Any]) -> None:
        """Keep the time at a record of a training, and end it where there is no more.

        Raises:
            LateError: As said.
        """
        self.save()
        if self.left < 0:
            raise LateError


class TimeLimit:
    """How long one training may take, by whatever process.

    Args:
        max_seconds: From now on.
    """

    def __init__(self, max_seconds: float) -> None:
        self._end = time.monotonic() + max_seconds

    def watch(self, _: Mapping[str, Any]) -> None:
        """End a training at one of its records where there is no more time.

        Raises:
            LateError: As said.
        """
        if time.monotonic() > self._end:
            raise LateError


def read_json(file: Path) -> dict[str, Any] | None:
    """Return the content of a file, None where there is none."""
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Let a file appear whole and last, in a folder that is made if needed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, as a rename cannot go to another file system.
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    put(partial, file)
