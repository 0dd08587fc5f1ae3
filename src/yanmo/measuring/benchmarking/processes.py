"""A measuring process from outside: started with its threads set, watched, and ended whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from yanmo import errors
from yanmo.artifacts.parquet import read_parquet
from yanmo.errors import InternalError, ModelError, YanmoError
from yanmo.machine import THREAD_VARIABLES
from yanmo.measuring.benchmarking.requests import EVIDENCE, REQUEST, MeasureBundle, MeasurePeak, read_answer

__all__ = ["run_child"]

CHILD = "yanmo.measuring.benchmarking.child"


def run_child(
    request: MeasureBundle | MeasurePeak,
    *,
    timeout_seconds: float,
    report: Callable[[str], object],
    module: str = CHILD,
) -> tuple[dict[str, Any], pl.DataFrame | None]:
    """Let a process of its own answer a request.

    Args:
        request: What to measure.
        timeout_seconds: After so long the process is killed.
        report: Is told the name of each step.
        module: What the process runs.

    Returns:
        JSON values, and the columns of its evidence where a Bundle was measured.

    Raises:
        YanmoError: What the process raised.
        ModelError: It died of a signal or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="yanmo-benchmark-") as name:
        folder = Path(name)
        (folder / REQUEST).write_bytes(msgspec.json.encode(request))
        code, timed_out = _watch(
            [sys.executable, "-P", "-m", module, name], request.num_threads, folder, timeout_seconds, report
        )
        if timed_out:
            raise ModelError(
                f"Measuring {request.bundle} was not done after {timeout_seconds:g} s.",
                hint="Measure fewer texts with --num-texts, or give it more --timeout-seconds.",
            )
        if code:
            raise _death(request.bundle, code, (folder / "stderr.txt").read_text(encoding="utf-8", errors="replace"))
        answer = read_answer(folder)
        if answer.error is not None:
            raise _same_error(*answer.error)
        path = folder / EVIDENCE
        return answer.facts, read_parquet(path) if path.is_file() else None


def _watch(
    command: list[str], num_threads: int, folder: Path, timeout_seconds: float, report: Callable[[str], object]
) -> tuple[int, bool]:
    """Run the process to its end; return its exit code and whether it had to be killed for the time it took."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(num_threads))}
    timed_out = threading.Event()
    # A file and no second pipe: nobody reads it meanwhile, and a full pipe would stop the process.
    with (folder / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)

    def stop() -> None:
        timed_out.set()
        process.kill()

    timer = threading.Timer(timeout_seconds, stop)
    timer.start()
    try:
        # Ends when the process does, and so when the timer kills it, too.
        for line in process.stdout or ():
            report(line.strip())
        process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.communicate()
    return process.returncode, timed_out.is_set()


def _death(path: str, code: int, stderr: str) -> YanmoError:
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    said = f" It said: {last}" if last else ""
    if code > 0:
        return InternalError(f"Measuring {path} ended with exit code {code}.{said}", hint="Report this message.")
    # Real-time signals are no members of the enumeration.
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return ModelError(
        f"Measuring {path} was ended by {name}: the engine cannot run this Bundle on this processor.{said}"
        if name in {"SIGFPE", "SIGILL", "SIGSEGV", "SIGABRT", "SIGBUS"}
        else f"Measuring {path} was ended by {name}.{said}",
        hint="SIGKILL mostly means that memory ran out." if name == "SIGKILL" else "Export it again on this machine.",
    )


def _same_error(name: str, message: str, hint: str | None) -> YanmoError:
    """Return an error of the class that the process met."""
    kind: type[YanmoError] = getattr(errors, name, ModelError)
    # Past the class's own __init__, whose arguments are not those that came back.
    error = kind.__new__(kind)
    YanmoError.__init__(error, message, hint=hint)
    return error
