"""Whether a batch hangs or is only long, told by the seconds that its worker computes; it knows no process.

A worker of a loaded machine takes long because it does not compute, but never stands still for a second; one with long
texts computes long, but not ten times as long as its texts took before. So a clock on the wall would raise false alarms
where the processor's own does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from yanmo.serving.schemas import Text

__all__ = ["Watchdog"]

IDLE_SECONDS = 1.25
"""A batch for which nothing is computed for so long hangs: with two beats it is noticed within two seconds."""
IDLE_SHARE = 0.01
"""Of the time that passes; the beats themselves take less."""
BUSY_SECONDS = 1.25
BUSY_FACTOR = 10
"""A batch may compute so many times as long as expected, and BUSY_SECONDS in any case."""
WORST_MEMORY = 0.98
"""How much of the slowest batch so far each further one leaves."""


class Watchdog:
    """Watches the batches of one worker."""

    def __init__(self) -> None:
        self._slowest = self._longest = 0.0
        self._computed = 0.0
        self._num_characters: int | None = None
        self._begun: float | None = None
        self._moved = 0.0, 0.0

    def begin(self, texts: Sequence[Text], now: float) -> None:
        """Note that the worker is given a batch."""
        self._num_characters = sum(
            len(text) if isinstance(text, str) else len(text[0]) + len(text[1]) for text in texts
        )
        # What was computed before is known by the next beat.
        self._begun = None
        self._moved = now, self._computed

    def end(self, seconds: float | None = None) -> None:
        """Note that the batch has ended, and what was computed for it if it was answered, all threads together."""
        if seconds is not None and self._num_characters is not None:
            # The slowest, since small batches take more for a character than large ones.
            self._slowest = max(seconds / max(1, self._num_characters), WORST_MEMORY * self._slowest)
            # A short text may be answered by a long one.
            self._longest = max(seconds, WORST_MEMORY * self._longest)
        self._num_characters = None

    def beat(self, computed: float, now: float) -> None:
        """Note the processor's seconds that the worker has computed by now, all its threads together."""
        self._computed = computed
        if self._begun is None:
            self._begun, self._moved = computed, (now, computed)
        elif computed - self._moved[1] >= IDLE_SHARE * (now - self._moved[0]):
            self._moved = now, computed

    def excuse(self, now: float) -> None:
        """Note that until now nobody looked, or could hear a beat."""
        self._moved = now, self._computed

    def hangs(self, now: float) -> bool:
        """Return whether the batch in hand will never be answered."""
        if self._num_characters is None:
            return False
        if now - self._moved[0] > IDLE_SECONDS:
            return True
        expected = BUSY_FACTOR * max(self._slowest * self._num_characters, self._longest)
        # Of the first batch nothing is expected.
        return bool(expected) and self._begun is not None and self._computed - self._begun > max(BUSY_SECONDS, expected)
