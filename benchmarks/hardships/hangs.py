"""A model that hangs in a worker that beats, asleep or computing for ever."""

from __future__ import annotations

import time
from collections import Counter
from statistics import median

from load import Load, ask, post
from processes import service, service_cores
from promises import Kept, Section

from hardships import Options, hanging_model, requests, told

__all__ = ["hangs"]


async def hangs(options: Options) -> Section:
    """Let the only worker hang, in turns asleep and computing; then load it with long texts."""
    count, seconds = options.count(20, 1), options.count(60, 5)
    noticed: dict[str, list[float]] = {"sleep": [], "spin": []}
    statuses = Counter[int]()
    with hanging_model(), service(options.bundle, cores=service_cores(), workers=1, deadline_seconds=60) as running:
        for number in range(2 * count):
            for request in requests(4)[:20]:
                statuses[(await ask(running.port, request)).status] += 1
            kind = "spin" if number % 2 else "sleep"
            begin = time.perf_counter()
            reply = await ask(running.port, post({"text": kind}))
            noticed[kind].append(time.perf_counter() - begin if reply.status == 503 else 60.0)
        long_texts = [post({"texts": ["很快，好吃 " * 1000] * 64})]
        asking = Load(running.port, long_texts, connections=4)
        begin = time.perf_counter()
        while time.perf_counter() < begin + seconds:
            await ask(running.port, requests()[0])
        beside = (await asking.stop()).statuses
    slowest = {kind: max(times) for kind, times in noticed.items()}
    rows = [
        Kept(
            f"{kind}: noticed ≤ 2 s",
            f"{median(noticed[kind]):.2f} s, {slowest[kind]:.2f} s at most",
            slowest[kind] <= 2,
        )
        for kind in noticed
    ]
    rows.append(Kept("the next worker answers", told(statuses), set(statuses) == {200}))
    rows.append(Kept("long texts raise no alarm", told(beside), set(beside) <= {200, 429}))
    return Section(f"{count} × a model asleep and {count} × one that computes for ever, in a worker that beats", rows)
