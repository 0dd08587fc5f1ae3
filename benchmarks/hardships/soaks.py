"""Half load for a long time."""

from __future__ import annotations

import asyncio
from statistics import median

from load import Load, load
from processes import service, service_cores
from promises import Kept, Section

from hardships import Options, memory, requests, told

__all__ = ["soak"]


async def soak(options: Options) -> Section:
    """Half load for a long time, after a tenth of it, at least half a minute, to warm up."""
    seconds, sent = options.count(options.soak_seconds, 10), requests()
    warm = max(options.count(30, 3), seconds // 10)
    with service(options.bundle, cores=service_cores()) as running:
        rate = (await load(running.port, sent, connections=16, seconds=3, warm_seconds=1)).rate / 2
        asking = Load(running.port, sent, connections=16, rate=rate)
        await asyncio.sleep(warm)
        statuses, sizes = asking.take_found().statuses, [memory(running)]
        for _ in range(20):
            await asyncio.sleep(seconds / 20)
            sizes.append(memory(running))
            statuses.update(asking.take_found().statuses)
        statuses.update((await asking.stop()).statuses)
    grown = median(sizes[-3:]) - median(sizes[:3])
    rows = [
        Kept("memory ≤ +1 MiB after warm-up", f"{grown:+.2f} MiB of {sizes[0]:.1f}", grown <= 1),
        Kept("all is answered", told(statuses), set(statuses) == {200}),
    ]
    table = ["MiB: " + ", ".join(f"{size:.2f}" for size in sizes)]
    return Section(f"Soak: {seconds} s at half load, {rate:,.0f} requests/s, after {warm} s", rows, table)
