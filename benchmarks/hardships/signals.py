"""The end of the service and of its workers, while requests are in flight."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from statistics import median

import psutil
from load import Load, Reply
from processes import service, service_cores
from promises import Kept, Section

from hardships import SEED, Options, requests, told

__all__ = ["sigterm", "workers"]


async def sigterm(options: Options) -> Section:
    """End the service at random moments while 8 connections ask; each goes on until it is told that it closes."""
    count, chance, sent = options.count(200, 5), random.Random(SEED), requests(16)
    statuses, codes, in_flight = Counter[int](), Counter[int | None](), 0
    for _ in range(count):
        with service(options.bundle, cores=service_cores()) as running:
            asking = Load(running.port, sent, connections=8, check=lambda _, reply: not reply.closes)
            await asyncio.sleep(chance.uniform(0.01, 0.2))
            statuses.update(asking.take_found().statuses)
            running.process.send_signal(signal.SIGTERM)
            found = await asking.wait()
            in_flight += found.statuses.total()
            statuses.update(found.statuses)
            codes[await asyncio.to_thread(running.process.wait, 30)] += 1
    lost = statuses.total() - statuses[200]
    rows = [
        Kept("0 accepted requests lost", f"{lost} of {statuses.total():,}: {told(statuses)}", lost == 0),
        Kept("requests were in flight", f"{in_flight:,} answered after the signal", in_flight >= 8 * count),
        Kept("exit code 0", ", ".join(f"{number} × {code}" for code, number in codes.items()), set(codes) == {0}),
    ]
    return Section(f"{count} × SIGTERM at a random moment (seed {SEED}), 8 connections", rows)


CONNECTIONS, BATCH_TOKENS = 32, 256
LONGEST_BATCH = BATCH_TOKENS // 12
"""No text has fewer than 12 characters, so no batch holds more: the others wait in the queue and must not fail."""


async def workers(options: Options) -> Section:
    """Kill and stop the only worker process under load, in turns."""
    count, chance, sent = options.count(50, 2), random.Random(SEED), requests()
    gaps, returns, failed, spreads, statuses = [], [], [], [], Counter[int]()
    with service(options.bundle, cores=service_cores(), workers=1, max_batch_tokens=BATCH_TOKENS) as running:
        bad: list[tuple[float, Reply]] = []
        good: list[float] = []

        def check(_: int, reply: Reply) -> bool:
            if reply.status == 200:
                good.append(time.perf_counter())
            else:
                bad.append((time.perf_counter(), reply))
            return True

        asking = Load(running.port, sent, connections=CONNECTIONS, check=check)
        for number in range(2 * count):
            await asyncio.sleep(chance.uniform(0.2, 0.5))
            (worker,) = psutil.Process(running.process.pid).children()
            bad.clear()
            worker.send_signal(signal.SIGSTOP if number % 2 else signal.SIGKILL)
            begin = time.perf_counter()
            await until(lambda worker=worker: is_gone(worker))
            gaps.append(time.perf_counter() - begin)
            await asyncio.sleep(0.3)  # answers of the lost worker may still be on their way
            good.clear()
            await until(lambda: bool(good))
            returns.append(good[0] - begin)
            failed.append(len(bad))
            spreads.append(bad[-1][0] - bad[0][0] if bad else 0.0)
        statuses = (await asking.stop()).statuses
    others = f"{told(statuses)}; {median(failed):.0f} of {CONNECTIONS} an event, {max(failed)} at most"
    only_batch = set(statuses) <= {200, 503} and max(failed) <= LONGEST_BATCH
    rows = [
        Kept("noticed ≤ 2 s", f"{max(gaps):.2f} s at most", max(gaps) <= 2),
        Kept(f"only the batch in hand fails, at most {LONGEST_BATCH}, with 503", others, only_batch),
        Kept("it fails at one moment", f"within {max(spreads) * 1e3:.0f} ms", max(spreads) <= 0.1),
        Kept("the others are answered by the next worker", f"{max(returns):.1f} s at most", max(returns) <= 10),
    ]
    return Section(f"Worker SIGKILL and SIGSTOP × {count} each, {CONNECTIONS} connections", rows)


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It did not.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
