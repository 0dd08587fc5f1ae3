"""A polite end: SIGTERM unwinds what is being done, or is noted where whoever trains looks at the note after each step.

Only the main thread of a process is told of signals; elsewhere nothing here does anything.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from yanmo.errors import StoppedError

__all__ = ["SigtermError", "noted_stop", "sigterm_raises"]

REPEAT_SECONDS = 0.05
"""So much later comes a signal again that came while an error was on its way."""


class SigtermError(BaseException):
    """SIGTERM came; as KeyboardInterrupt, it is nothing that a library's ``except Exception`` may swallow."""

    def as_stopped(self) -> StoppedError:
        """Return what a user is told."""
        return StoppedError(
            "Stopped by SIGTERM.", hint="Give the same command again: it goes on from what it has finished."
        )


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise a SigtermError inside the block, after any error that is on its way.

    One that leaves the block stays; one that is handled inside, as those of imports are, only puts it off.
    """
    is_over = threading.Event()

    def repeat() -> None:
        time.sleep(REPEAT_SECONDS)
        if not is_over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def handle(*_: Any) -> None:
        if sys.exc_info()[0] is None:
            raise SigtermError
        # No Thread: its start takes locks, which the code that the signal has interrupted may hold.
        _thread.start_new_thread(repeat, ())

    with _handled(handle):
        try:
            yield
        finally:
            is_over.set()


@contextlib.contextmanager
def noted_stop() -> Iterator[threading.Event]:
    """Give an event that SIGTERM sets inside the block; one that nobody has answered is delivered again at its end."""
    event = threading.Event()
    with _handled(lambda *_: event.set()):
        yield event
    # The handler from before is in place again, so this reaches whoever waits outside of the block.
    if event.is_set():
        signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def _handled(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Put back at the end, so that blocks inside of blocks give the signal back to the outer one.
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
