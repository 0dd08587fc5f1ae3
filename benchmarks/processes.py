"""A `yanmo serve` in a process of its own, for the scripts that load, break or fuzz it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Running", "leave_cores_to_service", "service", "service_cores"]

ALL_CORES = os.sched_getaffinity(0)


class Running(NamedTuple):
    """A service that answers.

    Attributes:
        process: Its process.
        url: Where it answers.
        port: The port of that.
    """

    process: subprocess.Popen[str]
    url: str
    port: int


@contextlib.contextmanager
def service(*bundles: Path, cores: set[int] | None = None, **settings: object) -> Iterator[Running]:
    """Run the service until the block ends.

    Args:
        *bundles: The Bundles to serve.
        cores: Where it may compute; None for anywhere.
        **settings: Of ``yanmo serve``.
    """
    flags = [part for key, value in settings.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "yanmo", "serve", *map(str, bundles), "--port", "0", "--json", *flags]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        if cores is not None:
            os.sched_setaffinity(process.pid, cores)
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            if not line:
                errors.seek(0)
                raise RuntimeError(f"the service did not start: {errors.read()}")
            url = json.loads(line)["url"]
            yield Running(process, url, int(url.rpartition(":")[2]))
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def service_cores() -> set[int] | None:
    """Return the cores of the service: the first one, if the machine lends us two."""
    return {0} if (os.cpu_count() or 1) > 1 and 0 in ALL_CORES else None


def leave_cores_to_service() -> None:
    """Let this process, the client, compute on the other cores."""
    if cores := service_cores():
        os.sched_setaffinity(0, ALL_CORES - cores)
