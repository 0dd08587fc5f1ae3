"""Ten times what the service can do."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
    """Offer ten times what the service can do, at a constant rate, whatever it answers."""
    seconds, sent = options.count(60, 6), requests(num_texts)
    with service(bundle, cores=service_cores()) as running:
        before = await load(running.port, sent, connections=8, seconds=seconds / 4, warm_seconds=2)
        rate = 10 * before.rate
        await load(running.port, sent, connections=512, seconds=seconds / 4, rate=rate)
        grown = memory(running)
        found = await load(running.port, sent, connections=512, seconds=seconds, rate=rate, warm_seconds=1)
        grown = memory(running) / grown - 1
        await asyncio.sleep(2)
        after = await load(running.port, sent, connections=8, seconds=5)
    goodput, times = found.rate / before.rate, found.offered / before.rate
    tail, refusal = found.milliseconds(99), found.milliseconds(99, 429)
    rows = [
        Kept("10 × its capacity is offered", f"{times:.1f} × of {before.rate:,.0f} requests/s", times >= 9.5),
        Kept("only 200 and 429", told(found.statuses), set(found.statuses) == {200, 429}),
        Kept("accepted p99 ≤ 500 ms", f"{tail:.0f} ms", tail <= 500),
        Kept("refused p99 ≤ 50 ms", f"{refusal:.1f} ms", refusal <= 50),
        Kept("goodput ≥ 90 % of capacity", f"{goodput:.0%}", goodput >= 0.9),
        Kept("memory ≤ +5 %", f"{grown:+.1%}", grown <= 0.05),
        back_to_normal(before, after),
    ]
    used = f"the client used {found.client_cpu / found.seconds:.0%} of its core"
    return Section(f"Overload for {seconds} s, {bundle.name}, {num_texts} texts a request; {used}", rows)


def back_to_normal(before: Found, after: Found) -> Kept:
    """Two seconds after the overload all is answered, as fast as before."""
    share = after.rate / before.rate
    found = f"{told(after.statuses)}; {share:.0%} of the rate before"
    return Kept("back to normal 2 s after", found, set(after.statuses) == {200} and share >= 0.9)
