"""One request in the queue before a model, and what it is told while it is answered; it knows no model and no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["QueuedRequest"]

ItemT = TypeVar("ItemT")


class QueuedRequest(Generic[ItemT]):
    """One request in the queue.

    Attributes:
        items: Its texts.
        num_tokens: What it costs, at most.
        arrived: The event loop's time when it came, in seconds.
        begun: When its batch began; 0 before.
        outcome: All that the worker said about its batch, once answered.
        on_grown: Told of what its answer, to one text, has grown by; None where it is told when it is whole.
    """

    __slots__ = (
        "_forget",
        "_num_grown",
        "_num_told",
        "arrived",
        "begun",
        "future",
        "items",
        "num_tokens",
        "on_grown",
        "outcome",
    )

    def __init__(
        self,
        items: Sequence[ItemT],
        num_tokens: int,
        loop: asyncio.AbstractEventLoop,
        forget: Callable[[QueuedRequest[ItemT]], None],
    ) -> None:
        self._forget = forget
        self.items = items
        self.num_tokens = num_tokens
        self.arrived = loop.time()
        self.begun = 0.0
        self.future: asyncio.Future[Any] = loop.create_future()
        self.outcome: Any = None
        self.on_grown: Callable[[str], None] | None = None
        self._num_grown = self._num_told = 0

    def give_up(self, reason: BaseException) -> None:
        """End it without an answer; if it still waits, it costs nothing from now on."""
        if self.future.done():
            return
        self.future.set_exception(reason)
        if not self.begun:
            self._forget(self)

    def grow(self, text: str) -> None:
        """Tell what its answer has grown by, as long as it is waited for."""
        if self.on_grown is None or self.future.done():
            return
        self._num_grown += len(text)
        num_new = self._num_grown - self._num_told
        if num_new > 0:
            self._num_told = self._num_grown
            self.on_grown(text[-num_new:])

    def begin_again(self) -> None:
        """Answer it anew: what it has been told is not told again."""
        self._num_grown = 0
