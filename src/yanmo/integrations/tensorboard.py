"""Runs for TensorBoard, written by tensorboardX; it knows no training.

Events are written at once, without tensorboardX's queue, whose last events a kill would lose.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

try:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import scalar, text
except ImportError as error:
    from yanmo.errors import MissingExtraError

    raise MissingExtraError("The tracker tensorboard", package="tensorboardX", extra="tensorboard") from error

from yanmo.errors import ConfigError
from yanmo.paths import check_path

__all__ = ["TensorBoardRun", "open_run"]


class TensorBoardRun:
    """A folder of event files.

    Attributes:
        run_id: The folder's path.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.run_id = str(folder)
        # A suffix of its own: the name's time is in seconds, and a run that goes on must not write over its file.
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to curves; training and validation stand in one diagram."""
        for name, value in values.items():
            part, _, rest = name.partition("_")
            self._write(scalar(f"{rest}/{part}" if part in ("train", "valid") else name, value), step)
        self._writer.flush()

    def finish(self, parameters: Mapping[str, Any], scores: Mapping[str, float], bundle: Path | None) -> None:
        """Write parameters and scores as text, with the Bundle's path, and close the file."""
        facts = {**({"bundle": str(bundle)} if bundle else {}), **scores, **parameters}
        rows = "\n".join(f"| {name} | {json.dumps(value, ensure_ascii=False)} |" for name, value in facts.items())
        self._write(text("run", f"| key | value |\n|---|---|\n{rows}"), 0)
        self._writer.close()

    def fail(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, summary: Any, step: int) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=summary))


def open_run(place: str, name: str, *, run_id: str | None, parent: str | None) -> TensorBoardRun:
    """Return a new run, or the one of that id.

    Args:
        place: The folder of all runs.
        name: Of the run.
        run_id: Of a run that was cut off.
        parent: The folder of the run that this one is a part of, and lies in.

    Raises:
        ConfigError: The folder cannot be made.
    """
    check_path(place, what="TensorBoard's folder")
    runs_dir = Path(parent or place)
    folder, number = Path(run_id) if run_id else runs_dir / name, 1
    while run_id is None and folder.exists():
        number += 1
        folder = runs_dir / f"{name}-{number}"
    try:
        return TensorBoardRun(folder)
    except OSError as error:
        raise ConfigError(
            f"TensorBoard's folder {folder} cannot be made: {error.strerror}.",
            hint="Give a folder that can be written: --tracker tensorboard:FOLDER",
        ) from error
