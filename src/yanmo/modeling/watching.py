"""Whoever wants to see a training's records as they come, or to stop it; it knows no loop and no tracker, and no torch.

The loop tells every new record of ``metrics.jsonl``, however deep inside the block of :func:`watched` it runs. A
watcher that raises ends the training; its checkpoint stays. The records of folds are another training's: only who asks
for them sees them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

__all__ = ["Watcher", "in_fold", "tell", "watched"]

Watcher = Callable[[Mapping[str, Any]], None]

_watchers: ContextVar[tuple[tuple[Watcher, bool], ...]] = ContextVar("watchers", default=())
_is_fold: ContextVar[bool] = ContextVar("is_fold", default=False)


@contextlib.contextmanager
def watched(watcher: Watcher | None, *, sees_folds: bool = False) -> Iterator[None]:
    """Let a watcher see every record that a training makes inside this block.

    Args:
        watcher: Is called with ``step``, ``epoch`` and what was recorded; None watches nothing.
        sees_folds: Whether it sees the records of folds, too.
    """
    token = _watchers.set((*_watchers.get(), (watcher, sees_folds)) if watcher else _watchers.get())
    try:
        yield
    finally:
        _watchers.reset(token)


@contextlib.contextmanager
def in_fold() -> Iterator[None]:
    """Let what is trained inside this block be a fold."""
    token = _is_fold.set(True)
    try:
        yield
    finally:
        _is_fold.reset(token)


def tell(record: Mapping[str, Any]) -> None:
    """Show a record to every watcher; that of a fold to those who see folds."""
    for watcher, sees_folds in _watchers.get():
        if sees_folds or not _is_fold.get():
            watcher(record)
