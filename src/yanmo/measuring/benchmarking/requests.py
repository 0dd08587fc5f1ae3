"""What the measuring process is asked and what it answers, as files of one folder; it measures nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

__all__ = [
    "ANSWER_FILE",
    "EVIDENCE",
    "REQUEST",
    "MeasureBundle",
    "MeasurePeak",
    "Measurement",
    "num_steps",
    "thread_counts",
]

REQUEST = "request.json"
ANSWER_FILE = "answer.json"
EVIDENCE = "evidence.parquet"


class MeasureBundle(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Measure a Bundle.

    Attributes:
        bundle: Its folder.
        items: N texts, or pairs.
        num_threads: Threads of its engine.
        runtime: The engine; None: the default.
        batch_sizes: Texts that are asked at once.
        lengths: Tokens of a text, about.
        quick: Short and few runs.
    """

    bundle: str
    items: list[str | tuple[str, ...]]
    num_threads: int
    runtime: str | None = None
    batch_sizes: tuple[int, ...]
    lengths: tuple[int, ...]
    quick: bool


class MeasurePeak(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Count a Bundle's operations, and measure a plain product of the same precision.

    Attributes:
        bundle: Its folder.
        num_threads: Threads that share the product.
        quick: Short.
    """

    bundle: str
    num_threads: int
    quick: bool


class Measurement(msgspec.Struct, frozen=True):
    """What was measured, or why not.

    Attributes:
        facts: JSON values.
        error: Class of a :class:`yanmo.errors.YanmoError`, its message and hint.
    """

    facts: dict[str, Any] = {}
    error: tuple[str, str, str | None] | None = None


def thread_counts(num_threads: int) -> list[int]:
    """Return 1, 2, 4, … and the number itself."""
    counts = [2**power for power in range(num_threads.bit_length())]
    return counts if counts[-1] == num_threads else [*counts, num_threads]


def num_steps(request: MeasureBundle | MeasurePeak) -> int:
    """Return how many steps the process will report."""
    if isinstance(request, MeasurePeak):
        return 1
    return 4 + len(request.batch_sizes) + len(request.lengths) + len(thread_counts(request.num_threads))


def read_answer(folder: Path) -> Measurement:
    """Return what the process left in its folder."""
    return msgspec.json.decode((folder / ANSWER_FILE).read_bytes(), type=Measurement)
