"""What happened while texts were written, counted; it knows no format, no model and no HTTP."""

from __future__ import annotations

from collections import Counter

from yanmo.serving.telemetry import LATENCY_SECONDS, Histogram

__all__ = ["WritingCounters"]

TOKEN_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SPEED_SECONDS = 10.0
"""The speed that is known is that of about so long a time."""


class WritingCounters:
    """What one model wrote. All of it belongs to the event loop.

    Attributes:
        first_token_seconds: From a request to its first token.
        token_seconds: From a token of a text to the next one.
        num_prompt_tokens: Tokens of prompts.
        num_cached_tokens: Those of them that had been read before.
        num_written_tokens: Tokens that were written.
        endings: Texts by why they ended.
        num_reloads: Changes to another Bundle, by outcome.
    """

    def __init__(self) -> None:
        self.first_token_seconds = Histogram((*LATENCY_SECONDS, 30.0))
        self.token_seconds = Histogram(TOKEN_SECONDS)
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0
        self.num_written_tokens = 0
        self.endings: Counter[str] = Counter()
        self.num_reloads: Counter[str] = Counter()
        self._recent_tokens = 0.0
        self._recent_since: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """How many tokens were written a second lately; 0 while that is unknown."""
        return self._recent_tokens / SPEED_SECONDS

    def add_tokens(self, count: int, now: float) -> None:
        """Count tokens that were written until now, in the event loop's seconds."""
        self.num_written_tokens += count
        if self._recent_since is not None:
            # Fades as if every second took its share, so that a pause is seen, too.
            self._recent_tokens *= max(0.0, 1 - (now - self._recent_since) / SPEED_SECONDS)
        self._recent_since = now
        self._recent_tokens += count
