"""The executor of this machine: so many processes, each with its own model; it knows no job.

A process gets units through its standard input and answers on its standard output, so that it ends when whoever
started it is gone. Run as a module, this is one of these processes.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, TypeVar

from yanmo.errors import InternalError
from yanmo.executors.jobs import LOST_UNITS, UnitJob, UnitOutcome, run_pooled, work_on
from yanmo.machine import THREAD_VARIABLES
from yanmo.stopping import SigtermError, sigterm_raises

__all__ = ["LocalProcesses"]

U = TypeVar("U")
R = TypeVar("R")

WAIT_SECONDS = 0.2
"""How long the main thread may not see Ctrl-C while it waits."""
POLITE_SECONDS = 20.0
"""How long a training may take to write its checkpoint when it is to end."""


class LocalProcesses:
    """Processes that each work on one unit at a time.

    Args:
        num_workers: How many.
        num_threads: With which each computes, where a job does not say.
    """

    def __init__(self, num_workers: int, num_threads: int) -> None:
        self.num_threads: int | None = num_threads
        self._wanted: queue.SimpleQueue[tuple[bytes, Any] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[UnitOutcome | BaseException] = queue.SimpleQueue()
        self._num_begun = 0
        self._is_closed = threading.Event()
        self._processes = [_Process(f"worker {number}", num_threads) for number in range(1, num_workers + 1)]
        for process in self._processes:
            threading.Thread(target=self._serve, args=(process,), daemon=True).start()

    def run(self, job: UnitJob[U, R], units: Iterable[U | None]) -> Iterator[R]:
        """Yield the results of the units as they come."""
        yield from run_pooled(self, job, units)

    def has_room(self) -> bool:
        """Return whether a process waits for a unit."""
        return self._num_begun < len(self._processes)

    def is_idle(self) -> bool:
        """Return whether all processes wait."""
        return not self._num_begun

    def submit(self, payload: bytes, unit: Any) -> None:
        """Give a unit to the next process that waits."""
        self._num_begun += 1
        self._wanted.put((payload, unit))

    def wait(self) -> UnitOutcome:
        """Return what has ended next.

        Raises:
            InternalError: The processes of one unit have died again and again.
        """
        while True:
            with contextlib.suppress(queue.Empty):
                ended = self._ended.get(timeout=WAIT_SECONDS)
                break
        self._num_begun -= 1
        if isinstance(ended, BaseException):
            raise ended
        return ended

    def close(self) -> None:
        """End all processes: what they do is given up, but a training writes a checkpoint first."""
        self._is_closed.set()
        for process in self._processes:
            self._wanted.put(None)
            process.stop()
        deadline = time.monotonic() + POLITE_SECONDS
        for process in self._processes:
            process.end(deadline)

    def _serve(self, process: _Process) -> None:
        """Let one process work on what is wanted, in a thread of its own."""
        while (item := self._wanted.get()) is not None and not self._is_closed.is_set():
            try:
                self._ended.put(process.work(*item))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                self._ended.put(error)


class _Process:
    """One process, which is started when it is first needed, and anew when it was lost."""

    def __init__(self, name: str, num_threads: int) -> None:
        self._name = name
        self._num_threads = num_threads
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def work(self, payload: bytes, unit: Any) -> UnitOutcome:
        """Return the outcome of a unit; a process that is lost with it is replaced a few times."""
        code: int | None = None
        for _ in range(LOST_UNITS + 1):
            if self._is_over:
                break
            process = self._process = self._process or self._start()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump((self._name, payload, unit), process.stdin)
                process.stdin.flush()
                outcome = pickle.load(process.stdout)
            except (EOFError, OSError, pickle.UnpicklingError):
                code, self._process = _kill(process), None
                continue
            assert isinstance(outcome, UnitOutcome)
            return outcome
        raise InternalError(f"The process of {self._name} died {LOST_UNITS + 1} times over one unit: exit code {code}.")

    def _start(self) -> subprocess.Popen[bytes]:
        # Libraries read these once, when they are loaded, so they are set before the process begins.
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(self._num_threads))}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "yanmo.executors.local"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def stop(self) -> None:
        """Tell the process to end, and start no other one."""
        self._is_over = True
        if (process := self._process) is not None:
            process.terminate()

    def end(self, deadline: float) -> None:
        """Wait for the end of the process until a time of the monotonic clock, then kill it."""
        if (process := self._process) is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            # Its units are such that nothing half done counts.
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> int:
    """End a process at once, and return its exit code."""
    process.kill()
    # What was written to it and never read is lost with it.
    with contextlib.suppress(OSError), process:
        pass
    return process.wait()


def _answer_units(units: BinaryIO, outcomes: BinaryIO) -> None:
    """Work on what comes, until nobody asks any more."""
    # Whoever has started this process ends it; Ctrl-C in the terminal reaches both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            name, payload, unit = pickle.load(units)
        except EOFError:
            return
        pickle.dump(work_on(payload, unit, name), outcomes)
        outcomes.flush()


if __name__ == "__main__":
    # What a library prints must not stand among the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(BrokenPipeError, SigtermError), sigterm_raises():
        _answer_units(sys.stdin.buffer, answers)
