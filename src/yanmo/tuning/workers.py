"""Trials in several processes that share one search; it knows no search and no training.

Run as a module it is one of these processes: it reads the plan on standard input.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import msgspec

from yanmo.errors import InternalError, YanmoError, raise_again, told
from yanmo.machine import THREAD_VARIABLES
from yanmo.stopping import SigtermError, sigterm_raises
from yanmo.streams import log_to_stderr
from yanmo.tuning.trials import SearchPlan, run_trials

__all__ = ["run_in_processes"]

LOOK_SECONDS = 0.1
POLITE_SECONDS = 20.0


def run_in_processes(plan: SearchPlan, num_workers: int) -> None:
    """Run the trials of a plan in so many processes, and wait for all of them; one that fails ends the others.

    Raises:
        YanmoError: What the first process that failed has raised.
        InternalError: One died.
    """
    request = msgspec.json.encode(msgspec.structs.replace(plan, parent=os.getpid()))
    # Libraries read these once, when they are loaded, so they are set before a process begins.
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(plan.call.config["num_threads"]))}
    # For appending: whoever writes does so at the end, and no process over another's line.
    with tempfile.TemporaryFile("a+b") as answers:
        processes = [_start(request, environment, answers.fileno()) for _ in range(num_workers)]
        try:
            codes = _wait(processes)
            answers.seek(0)
            said = answers.read().splitlines()
        finally:
            _end(processes)
    if said:
        # The first line is of the worker that failed first; the others were ended because of it.
        raise_again(*msgspec.json.decode(said[0], type=tuple[str, str, str | None]))
    if any(codes):
        raise InternalError(f"A worker of the search ended with exit code {next(filter(None, codes))}.")


def _start(request: bytes, environment: dict[str, str], answers: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "yanmo.tuning.workers"], stdin=subprocess.PIPE, stdout=answers, env=environment
    )
    assert process.stdin is not None
    process.stdin.write(request)
    # The end of the input, for which the process waits before it reads the plan.
    process.stdin.close()
    return process


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> list[int | None]:
    """Return the exit codes when all have ended, or one has failed."""
    while True:
        codes = [process.poll() for process in processes]
        if None not in codes or any(codes):
            return codes
        time.sleep(LOOK_SECONDS)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End those that still run: first politely, so that each writes a checkpoint."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + POLITE_SECONDS
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()
        process.wait()


def _work() -> int:
    log_to_stderr("yanmo.tuning")
    try:
        run_trials(msgspec.json.decode(sys.stdin.buffer.read(), type=SearchPlan))
    except YanmoError as error:
        return _answer(error)
    except SigtermError as error:
        return _answer(error.as_stopped())
    return 0


def _answer(error: YanmoError) -> int:
    answer = msgspec.json.encode(told(error))
    sys.stdout.buffer.write(answer + b"\n")
    return 1


if __name__ == "__main__":
    with sigterm_raises():
        sys.exit(_work())
