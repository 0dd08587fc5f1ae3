"""Signs of life among machines that share nothing but a database: given while work goes on, and missed by the others.

It knows no database and no work. Nothing depends on two machines having the same time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

__all__ = ["Watch", "beating"]

BEAT_SECONDS = 20.0
GRACE_SECONDS = 120.0
"""How long a sign of life may stay away: long beside a slow network, short beside a training."""


@contextlib.contextmanager
def beating(beat: Callable[[], bool]) -> Iterator[None]:
    """Give signs of life from a thread of its own while the block runs.

    Args:
        beat: Gives one; returns whether another one is of any use.
    """
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(BEAT_SECONDS) and beat():
            pass

    # As a daemon, so that one that waits for a dead network keeps no process from its end.
    thread = threading.Thread(target=go_on, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(BEAT_SECONDS)


class Watch:
    """Who has given no new sign of life for too long, by the clock of whoever watches."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[str, float]] = {}

    def is_silent(self, number: int, sign: str) -> bool:
        """Note the last sign of life; return whether it has been the last one for too long.

        Args:
            number: Whose it is.
            sign: It, whatever it says: only whether it has changed counts.
        """
        now = time.monotonic()
        if number not in self._seen or self._seen[number][0] != sign:
            self._seen[number] = (sign, now)
        return now - self._seen[number][1] > GRACE_SECONDS
