"""Whoever wants to see a training's records as they come, or to stop it; it knows no loop and no tracker, and no torch.

The loop tells every new record of ``metrics.jsonl``, however deep inside the block of :func:`watched` it runs. A
watcher that raises ends the training; its checkpoint stays.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

__all__ = ["Watcher", "tell", "watched"]

Watcher = Callable[[Mapping[str, Any]], None]

_watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("watchers", default=())


@contextlib.contextmanager
def watched(watcher: Watcher | None) -> Iterator[None]:
    """Let a watcher see every record that a training makes inside this block.

    Args:
        watcher: Is called with ``step``, ``epoch`` and what was recorded; None watches nothing.
    """
    token = _watchers.set((*_watchers.get(), watcher) if watcher else _watchers.get())
    try:
        yield
    finally:
        _watchers.reset(token)


def tell(record: Mapping[str, Any]) -> None:
    """Show a record to every watcher."""
    for watcher in _watchers.get():
        watcher(record)
