"""Room for keys and values that is far more than most rows fill; it knows no model."""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Sequence

import numpy as np

from yanmo.arrays import FloatArray

__all__ = ["make_room"]


def make_room(shape: Sequence[int]) -> FloatArray:
    """Return float32 zeros that take memory where they are written to, some 4 KiB at a time.

    numpy asks Linux for pages of 2 MiB, so that the first token of a row takes as much as thousands.

    Raises:
        MemoryError: There is not so much.
    """
    size = math.prod(shape) * np.dtype(np.float32).itemsize
    if not size or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros(shape, np.float32)
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"There is no room for {size} bytes of keys and values.") from error
    # A kernel without such pages refuses to be told so.
    with contextlib.suppress(OSError):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.float32).reshape(shape)
