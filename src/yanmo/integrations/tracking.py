"""Where a training's curves go besides ``metrics.jsonl``; it knows no training and loads no tracker but the one named.

A run that was killed is continued: what a tracker has been told already is not told twice. A tracker that fails while a
training runs is let go with a warning: it ends no training.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from pydantic import Field

from yanmo.config import Config
from yanmo.errors import ConfigError, did_you_mean

__all__ = ["STATE", "Run", "TrackedConfig", "Tracker", "tracked"]

logger = logging.getLogger(__name__)

TRACKERS = {"tensorboard": "yanmo.integrations.tensorboard", "mlflow": "yanmo.integrations.mlflow_runs"}
STATE = "tracker.json"
"""In a work folder: what a tracker has been told, which by itself is no work that could be lost."""


class TrackedConfig(Config):
    """The key of a verb that trains which says who else sees its curves; no result depends on it."""

    tracker: str | None = Field(default=None, exclude=True)
    """Also send parameters, curves and the Bundle to tensorboard or mlflow: tensorboard:FOLDER, mlflow:FOLDER, or
    mlflow:URL of a server; without a place the folder is runs/tensorboard or runs/mlflow."""


class Tracker(Protocol):
    """One run in a tracker."""

    run_id: str

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to curves."""
        ...

    def finish(self, parameters: Mapping[str, Any], scores: Mapping[str, float], bundle: Path | None) -> None:
        """Note what the training was told, what came out, and the Bundle, where there is one to keep."""
        ...

    def fail(self) -> None:
        """Note that it did not come to its end."""
        ...


class Told(msgspec.Struct):
    """What a tracker has been told, as kept beside the checkpoint."""

    tracker: str
    run_id: str
    step: int = -1
    names: list[str] = []


class Run:
    """A run that is told every record once.

    Attributes:
        tracker: The run itself, None where no tracker was named, or the one that was has failed.
        run_id: Its id, for the runs that are a part of it.
    """

    def __init__(self, tracker: Tracker | None, state: Told, path: Path) -> None:
        self.tracker = tracker
        self.run_id = state.run_id or None
        self._state = state
        self._path = path

    def watch(self, record: Mapping[str, Any]) -> None:
        """Pass a record of ``metrics.jsonl`` on, unless that was done before the training was cut off."""
        state = self._state
        if self.tracker is None or record["step"] < state.step:
            return
        names = [name for name in record if name not in ("step", "epoch")]
        # A step may have two records: of the training, and of the evaluation after it.
        known = state.names if record["step"] == state.step else []
        new = {name: float(record[name]) for name in names if name not in known}
        if new:
            with self._forgiven():
                self.tracker.log(record["step"], new)
                state.step, state.names = record["step"], [*known, *new]
                self.save()

    def finish(self, parameters: Mapping[str, Any], scores: Mapping[str, float], bundle: Path | None = None) -> None:
        """Note the result."""
        if self.tracker is not None:
            with self._forgiven():
                self.tracker.finish(parameters, scores, bundle)

    def fail(self) -> None:
        """Note that there is none."""
        if self.tracker is not None:
            with self._forgiven():
                self.tracker.fail()

    def save(self) -> None:
        """Keep what was told, so that a training which is cut off goes on in the same run."""
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(self._state))
        # A kill leaves the old file or the new one, and never half of one.
        partial.replace(self._path)

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        """Let go of a tracker that fails inside the block, and say so."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - every library has errors of its own, and no training ends by them
            self.tracker = None
            _say_lost(self._state.tracker, str(error) or type(error).__name__)


@contextlib.contextmanager
def tracked(named: str | None, *, name: str, work_dir: Path, parent: str | None = None) -> Iterator[Run]:
    """Open the run of a tracker, or the one that a training which was cut off has begun.

    A part of another run goes on without a tracker where that cannot be reached any more.

    Args:
        named: The value of the key ``tracker``.
        name: Of the run.
        work_dir: Where a continued training finds what has been told already.
        parent: The id of the run that this one is a part of, such as that of a search.

    Raises:
        ConfigError: There is no such tracker, or it cannot be reached at the beginning.
        MissingExtraError: Its package is not installed.
    """
    path = work_dir / STATE
    if named is None:
        yield Run(None, Told("", ""), path)
        return
    kind, _, place = named.partition(":")
    if kind not in TRACKERS:
        raise ConfigError(
            f"There is no tracker '{kind}'.{did_you_mean(kind, TRACKERS)}",
            hint=f"The trackers are: {', '.join(TRACKERS)}.",
        )
    state = _read(path, named)
    open_run = importlib.import_module(TRACKERS[kind]).open_run
    try:
        opened = open_run(place or f"runs/{kind}", name, run_id=state and state.run_id, parent=parent)
    except ConfigError as error:
        if parent is None:
            raise
        opened = None
        _say_lost(named, error.message)
    run = Run(opened, state or Told(named, opened.run_id if opened else ""), path)
    if opened:
        # At once, so that a training killed before its first record goes on in this run.
        run.save()
    try:
        yield run
    except BaseException:
        run.fail()
        raise


def _say_lost(named: str, reason: str) -> None:
    logger.warning(
        "The tracker %s has failed and is told nothing more; metrics.jsonl has all of it: %s",
        named.partition(":")[0],
        reason.partition("\n")[0],
    )


def _read(path: Path, named: str) -> Told | None:
    try:
        state = msgspec.json.decode(path.read_bytes(), type=Told)
    except (OSError, msgspec.MsgspecError):
        return None
    # Another tracker, or another place, has been told nothing yet.
    return state if state.tracker == named else None
