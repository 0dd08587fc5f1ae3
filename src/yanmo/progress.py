"""Progress bars on stderr, silent where stderr is no terminal; it knows nothing about what progresses."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["bar", "track"]

T = TypeVar("T")


def bar(total: int | None, description: str, *, unit: str = "it", initial: int = 0) -> Any:
    """Return a tqdm bar to be used as a context manager: ``update(n)``, ``set_postfix(...)``."""
    return tqdm(
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        file=sys.stderr,
        disable=_is_hidden(),
        dynamic_ncols=True,
    )


def track(items: Iterable[T], description: str, *, total: int | None = None, unit: str = "it") -> Iterable[T]:
    """Yield the items and show how many are done."""
    yield from tqdm(items, desc=description, total=total, unit=unit, file=sys.stderr, disable=_is_hidden())


def _is_hidden() -> bool:
    """Return whether nobody looks: stderr is no terminal, or closed, as in a program without a console."""
    # tqdm's own disable=None would ask for a terminal, too, but not find out that nothing is there.
    return sys.stderr is None or not sys.stderr.isatty()
