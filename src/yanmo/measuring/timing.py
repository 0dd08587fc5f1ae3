"""How fast an open Predictor answers, one text alone and many at once; it knows no file and no report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from yanmo.runtimes.predictor import Predictor

__all__ = ["ALONE_SECONDS", "BATCH_SECONDS", "clock", "repeat", "time_alone", "time_batches"]

ALONE_TEXTS = 200
ALONE_SECONDS = 3.0
BATCH_SECONDS = 0.5


def time_alone(predictor: Predictor, items: Sequence[Any], *, seconds: float = ALONE_SECONDS) -> dict[str, Any]:
    """Return percentiles of the milliseconds for one text, over texts from all of the items.

    Args:
        predictor: The open Bundle.
        items: N texts or pairs; at most 200 of them, evenly spaced, are asked.
        seconds: After so long no further text is asked.
    """
    step = max(1, len(items) // ALONE_TEXTS)
    sample = items[::step][:ALONE_TEXTS]
    # Without a clock: the first calls of an engine are slower than all others.
    for item in sample[:5]:
        predictor.infer([item])
    times: list[float] = []
    for item in sample:
        times.append(clock(lambda item=item: predictor.infer([item])))  # type: ignore[misc]
        # Asked after a text, so that there is always one.
        if sum(times) > seconds:
            break
    p50, p95, p99 = (float(1000 * value) for value in np.percentile(times, (50, 95, 99)))
    return {"p50": p50, "p95": p95, "p99": p99, "num_texts": len(times)}


def time_batches(
    predictor: Predictor, items: Sequence[Any], elapsed: float, *, seconds: float = BATCH_SECONDS
) -> float:
    """Return texts per second over all items; what was done at once is run again, and the median counts.

    Args:
        predictor: The open Bundle.
        items: N texts or pairs.
        elapsed: Seconds that a first run took.
        seconds: All runs together take about that long.
    """
    times = repeat(lambda: predictor.infer(items), seconds=seconds, elapsed=elapsed)
    return len(items) / float(np.median(times))


def repeat(function: Callable[[], object], *, seconds: float, elapsed: float) -> list[float]:
    """Return the seconds of several runs, the first of which took ``elapsed``; one that is slow is not run again."""
    times = [elapsed]
    while sum(times) < seconds:
        times.append(clock(function))
    return times


def clock(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
