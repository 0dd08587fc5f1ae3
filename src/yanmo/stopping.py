"""A polite end: SIGTERM unwinds what is being done, or is noted where whoever trains looks at the note after each step.

Only the main thread of a process is told of signals; elsewhere nothing here does anything.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from yanmo.errors import StoppedError

__all__ = ["SigtermError", "noted_stop", "sigterm_raises"]


class SigtermError(BaseException):
    """SIGTERM came; as KeyboardInterrupt, it is nothing that a library's ``except Exception`` may swallow."""

    def as_stopped(self) -> StoppedError:
        """Return what a user is told."""
        return StoppedError(
            "Stopped by SIGTERM.", hint="Give the same command again: it goes on from what it has finished."
        )


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise a SigtermError inside the block, unless another error is on its way, which then stays."""
    with _handled(_raise):
        yield


@contextlib.contextmanager
def noted_stop() -> Iterator[threading.Event]:
    """Give an event that SIGTERM sets inside the block; one that nobody has answered is delivered again at its end."""
    event = threading.Event()
    with _handled(lambda *_: event.set()):
        yield event
    # The handler from before is in place again, so this reaches whoever waits outside of the block.
    if event.is_set():
        signal.raise_signal(signal.SIGTERM)


def _raise(*_: Any) -> None:
    if sys.exc_info()[0] is None:
        raise SigtermError


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
