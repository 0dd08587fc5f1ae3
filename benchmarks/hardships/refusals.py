"""What one refusal costs a service whose queue is full, and nothing else to do."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from load import Load, ask, post
from processes import service, service_cores
from promises import Kept, Section

from hardships import Options, requests

__all__ = ["refusals"]

HANG = """
import time
from yanmo.serving.answering import Answerer
plain = Answerer.answer
Answerer.answer = lambda self, texts: time.sleep(1e6) if "hang" in texts else plain(self, texts)
"""
FULL = {"max_queue_tokens": 10, "deadline_seconds": 1000, "drain_seconds": 0}
RATES = (1000, 4000, None)
WORDS = {None: "as fast as it answers"}


async def refusals(options: Options) -> Section:
    """Ask a service whose model hangs and whose queue is full, 128 texts a request, 512 connections."""
    seconds, sent, lines, microseconds = options.count(8, 2), requests(128), [], 0.0
    with hanging_model(), service(options.bundle, cores=service_cores(), **FULL) as running:
        process = psutil.Process(running.process.pid)
        waiting = []
        for text in ("hang", "0123456789"):
            waiting.append(asyncio.create_task(ask(running.port, post({"text": text}))))
            await asyncio.sleep(0.5)
        for rate in RATES:
            asking = Load(running.port, sent, connections=512, rate=rate)
            await asyncio.sleep(1.5)
            asking.take_found()
            before = process.cpu_times()
            await asyncio.sleep(seconds)
            after, found = process.cpu_times(), asking.take_found()
            await asking.stop()
            count = len(found.latencies[429])
            user, system = (1e6 * (getattr(after, one) - getattr(before, one)) / count for one in ("user", "system"))
            microseconds, tail = user + system, found.milliseconds(99, 429)
            cells = (WORDS.get(rate, f"{rate}"), f"{count / found.seconds:,.0f}", f"{user:.0f}", f"{system:.0f}")
            lines.append(f"| {' | '.join(cells)} | {found.milliseconds(50, 429):.1f} | {tail:.1f} |")
    await asyncio.gather(*waiting)  # the service has ended, and told them so
    rows = [Kept("a refusal costs ≤ 30 µs of CPU where there are many", f"{microseconds:.0f} µs", microseconds <= 30)]
    head = ["| asked a second | refused a second | µs in Python | µs in the system | p50, ms | p99, ms |"]
    return Section(
        "What a refusal costs: a full queue, 128 texts a request, 512 connections that do not wait as they are told",
        rows,
        [*head, "|---|---|---|---|---|---|", *lines],
    )


@contextmanager
def hanging_model() -> Iterator[None]:
    """Let services that start meanwhile hang at the text "hang"."""
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
