"""What a service may meet: one file a kind, each a coroutine from ``Options`` to a ``Section`` of promises.

Each starts a service of its own, which has core 0 where there are two; the client has the others.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from load import post
from processes import Running

__all__ = ["SEED", "Options", "hanging_model", "memory", "requests", "told"]

TEXTS = [
    "很快，好吃，下次还点",
    "送餐太慢了，等了一个半小时",
    "The package arrived two days late.",
    "How do I change my PIN?",
    "中国足球队主教练谈世界杯预选赛",
]
NUM_REQUESTS = 997
HANG = """
import time
from yanmo.serving.answering import Answerer

plain = Answerer.answer

def answer(self, texts):
    if "sleep" in texts:
        time.sleep(1e6)
    while "spin" in texts:
        pass
    return plain(self, texts)

Answerer.answer = answer
"""
SEED = 1


class Options(NamedTuple):
    """What to break: two versions of one model, a Bundle to overload beside, and how long."""

    bundle: Path
    other: Path
    bert: Path | None
    short: bool
    soak_seconds: int

    def count(self, whole: int, short: int) -> int:
        return short if self.short else whole


def requests(num_texts: int = 1) -> list[bytes]:
    """Return requests of which no two hold the same texts."""
    return [
        post({"texts": [f"{TEXTS[(number + place) % len(TEXTS)]} {number} {place}" for place in range(num_texts)]})
        for number in range(NUM_REQUESTS)
    ]


def memory(running: Running) -> float:
    """Return the resident MiB of the service and its workers."""
    process = psutil.Process(running.process.pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / 2**20


def told(statuses: Counter[int]) -> str:
    return ", ".join(f"{count:,} × {status}" for status, count in sorted(statuses.items())) or "nothing"


@contextmanager
def hanging_model() -> Iterator[None]:
    """Let services that start meanwhile hang at the texts "sleep" and "spin"."""
    before = os.environ.get("PYTHONPATH")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(HANG, encoding="utf-8")
        os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, [before])])
        try:
            yield
        finally:
            os.environ.pop("PYTHONPATH")
            if before is not None:
                os.environ["PYTHONPATH"] = before
