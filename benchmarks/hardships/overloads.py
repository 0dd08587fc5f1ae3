"""Ten times what the service can do."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from statistics import median

from load import Found, load
from processes import service, service_cores
from promises import Kept, Section

from hardships import Options, memory, requests, told

__all__ = ["overload_bert", "overload_bert_few", "overload_ngram"]


async def overload_ngram(options: Options) -> Section:
    """Overload the small model: large requests, as no client could send ten times as many small ones."""
    return await overload(options.bundle, options, num_texts=128)


async def overload_bert(options: Options) -> Section:
    """Overload an encoder; what a refusal costs counts less, the more texts a request has."""
    return await overload(options.bert or options.bundle, options, num_texts=16)


async def overload_bert_few(options: Options) -> Section:
    """Overload it with small requests, of which more are refused."""
    return await overload(options.bert or options.bundle, options, num_texts=4)


async def overload(bundle: Path, options: Options, *, num_texts: int) -> Section:
    """Offer ten times what the service can do, at a constant rate, whatever it answers; medians of rounds count."""
    rounds, seconds, sent = options.count(5, 2), options.count(20, 3), requests(num_texts)
    capacity, found = [], []
    with service(bundle, cores=service_cores()) as running:
        before = await load(running.port, sent, connections=8, seconds=seconds / 4, warm_seconds=2)
        await load(running.port, sent, connections=512, seconds=seconds, rate=10 * before.rate)
        grown = memory(running)
        for _ in range(rounds):
            capacity.append(await load(running.port, sent, connections=8, seconds=seconds / 2, warm_seconds=1))
            rate = 10 * capacity[-1].rate
            found.append(await load(running.port, sent, connections=512, seconds=seconds, rate=rate, warm_seconds=1))
            await asyncio.sleep(2)
        grown = memory(running) / grown - 1
        after = await load(running.port, sent, connections=8, seconds=5)
    pairs = list(zip(found, capacity, strict=True))
    goodput, times = (
        [one.rate / alone.rate for one, alone in pairs],
        min(one.offered / alone.rate for one, alone in pairs),
    )
    tails, refusals = ([one.milliseconds(99, status) for one in found] for status in (200, 429))
    statuses = sum((one.statuses for one in found), Counter[int]())
    usual = median(one.rate for one in capacity)
    rows = [
        Kept("10 × its capacity is offered", f"{times:.1f} × of {usual:,.0f} requests/s at least", times >= 9.5),
        Kept("only 200 and 429", told(statuses), set(statuses) == {200, 429}),
        Kept("accepted p99 ≤ 500 ms", f"{median(tails):.0f} ms", median(tails) <= 500),
        Kept("refused p99 ≤ 50 ms", f"{median(refusals):.1f} ms", median(refusals) <= 50),
        Kept("goodput ≥ 90 % of capacity", f"{median(goodput):.0%}", median(goodput) >= 0.9),
        Kept("memory ≤ +5 %", f"{grown:+.1%}", grown <= 0.05),
        back_to_normal(usual, after),
    ]
    used = max(one.client_cpu / one.seconds for one in found)
    table = [
        "Round by round:",
        f"- goodput: {', '.join(f'{one:.0%}' for one in goodput)}",
        f"- accepted p99 in ms: {', '.join(f'{one:.0f}' for one in tails)}",
        f"- refused p99 in ms: {', '.join(f'{one:.1f}' for one in refusals)}",
        f"- the client used {used:.0%} of its core at most",
    ]
    return Section(f"Overload, {rounds} rounds of {seconds} s, {bundle.name}, {num_texts} texts a request", rows, table)


def back_to_normal(usual: float, after: Found) -> Kept:
    """Two seconds after the overload all is answered, as fast as before."""
    share = after.rate / usual
    found = f"{told(after.statuses)}; {share:.0%} of the rate before"
    return Kept("back to normal 2 s after", found, set(after.statuses) == {200} and share >= 0.9)
