"""What one refusal costs a service whose queue is full, and nothing else to do."""

from __future__ import annotations

import asyncio

import psutil
from load import Load, ask, post
from processes import service, service_cores
from promises import Kept, Section

from hardships import Options, hanging_model, requests

__all__ = ["refusals"]

FULL = {"max_queue_tokens": 10, "deadline_seconds": 1000, "drain_seconds": 0}
RATES = (1000, 4000, None)
WORDS = {None: "as fast as it answers"}


async def refusals(options: Options) -> Section:
    """Ask a service whose model hangs and whose queue is full, 128 texts a request, 512 connections."""
    seconds, sent, lines, microseconds = options.count(8, 2), requests(128), [], 0.0
    with hanging_model(), service(options.bundle, cores=service_cores(), **FULL) as running:
        process = psutil.Process(running.process.pid)
        waiting = []
        for text in ("sleep", "0123456789"):
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
