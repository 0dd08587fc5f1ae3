"""A polite end: the first SIGTERM is noted, and whoever trains looks at the note after each step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["noted_stop"]


@contextlib.contextmanager
def noted_stop() -> Iterator[threading.Event]:
    """Give an event that SIGTERM sets inside the block; outside of the main thread nobody can be told."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)
