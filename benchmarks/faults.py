"""What the service does under overload, faults and abuse: one table of promises, each kept or not.

Client and service run on this machine; the service has core 0 where there are two. Every part is bounded in time and
count, and `--short` runs all of them in two minutes.

    python benchmarks/faults.py models/ngram [--short] [--only overload,reload,…] [--slow models/bert-int8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NamedTuple

import psutil
from processes import Running, service

TEXTS = [
    "很快，好吃，下次还点",
    "送餐太慢了，等了一个半小时",
    "The package arrived two days late.",
    "How do I change my PIN?",
]


class Reply(NamedTuple):
    """One answer: status (0: none came), seconds, body."""

    status: int
    seconds: float
    body: bytes


class Kept(NamedTuple):
    """A promise, what was found, and whether it was kept."""

    promise: str
    found: str
    kept: bool


class Options(NamedTuple):
    bundle: Path
    slow: Path
    short: bool


class Connection:
    """One keep-alive connection that asks one request after the other, and connects again when it was cut."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes, path: str = "/predict") -> Reply:
        begin = time.perf_counter()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        )
        try:
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.streams
            writer.write(head.encode() + b"\r\n\r\n" + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            content = await reader.readexactly(length)
        except (OSError, EOFError):
            await self.close()
            return Reply(0, time.perf_counter() - begin, b"")
        if b"connection: close" in answer.lower():
            await self.close()
        return Reply(int(answer.split()[1]), time.perf_counter() - begin, content)

    async def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
        self.streams = None


def body_of(number: int, num_texts: int = 1) -> bytes:
    texts = [f"{TEXTS[(number + place) % len(TEXTS)]} {number}" for place in range(num_texts)]
    return json.dumps({"texts": texts}, ensure_ascii=False).encode()


async def load(
    port: int, seconds: float, *, connections: int, rate: float | None = None, num_texts: int = 1
) -> list[Reply]:
    """Ask for some seconds: each connection as fast as it can, or all together at a rate a second."""
    replies: list[Reply] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        connection = Connection(port)
        due = time.perf_counter() + (number / rate if rate else 0)
        while time.perf_counter() < end:
            if rate:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                due += connections / rate
            replies.append(await connection.ask(body_of(number, num_texts)))
            number += connections
        await connection.close()

    await asyncio.gather(*(one(number) for number in range(connections)))
    return replies


def percentile(values: list[float], share: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)] if ordered else 0.0


def milliseconds(replies: list[Reply], share: int, *statuses: int) -> float:
    return percentile([reply.seconds for reply in replies if reply.status in statuses], share) * 1e3


def memory(running: Running) -> int:
    process = psutil.Process(running.process.pid)
    return sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])


async def overload(options: Options) -> list[Kept]:
    """Ten times what the service can do, at a constant rate, whatever it answers."""
    seconds = 8 if options.short else 60
    with service(options.slow, cores=CORES) as running:
        whole = await load(running.port, seconds / 4, connections=16, num_texts=4)
        capacity = sum(reply.status == 200 for reply in whole) / (seconds / 4)
        await load(running.port, seconds / 4, connections=256, rate=10 * capacity, num_texts=4)
        before = memory(running)
        replies = await load(running.port, seconds, connections=256, rate=10 * capacity, num_texts=4)
        grown = memory(running) / before - 1
        await asyncio.sleep(2)
        after = await load(running.port, 2, connections=1, num_texts=4)
    statuses = Counter(reply.status for reply in replies)
    goodput = statuses[200] / seconds / capacity
    tail, refusal = milliseconds(replies, 99, 200), milliseconds(replies, 99, 429)
    found = f"{len(replies) / seconds:,.0f}/s offered of {capacity:,.0f}/s: {dict(statuses)}"
    return [
        Kept("10 x overload: only 200 and 429", found, set(statuses) <= {200, 429}),
        Kept("10 x overload: accepted p99 ≤ 500 ms", f"{tail:.0f} ms", tail <= 500),
        Kept("10 x overload: refused p99 ≤ 50 ms", f"{refusal:.0f} ms", refusal <= 50),
        Kept("10 x overload: goodput ≥ 90 %", f"{goodput:.0%}", goodput >= 0.9),
        Kept("10 x overload: memory ≤ +5 %", f"{grown:+.1%}", grown <= 0.05),
        Kept("2 s after: all answered", f"{len(after)} requests", {reply.status for reply in after} == {200}),
    ]


async def reload(options: Options) -> list[Kept]:
    """Change between two Bundles while requests go on."""
    count = 5 if options.short else 100
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one", "two"):
            shutil.copytree(options.bundle, Path(folder, name))
        manifest = Path(folder, "two", "manifest.json")
        manifest.write_bytes(manifest.read_bytes() + b"\n")  # another digest, the same answers
        with service(options.bundle, cores=CORES, models_dir=folder) as running:
            asking = asyncio.create_task(load(running.port, 2 + count * 0.25, connections=8, num_texts=4))
            admin = Connection(running.port)
            path = f"/admin/models/{options.bundle.resolve().name}"
            done = Counter()
            for number in range(count):
                reply = await admin.ask(json.dumps({"path": ("one", "two")[number % 2]}).encode(), path)
                done[reply.status] += 1
                await asyncio.sleep(0.05)
            replies = await asking
    statuses = Counter(reply.status for reply in replies)
    digests = {json.loads(reply.body)["digest"] for reply in replies if reply.status == 200}
    return [
        Kept(f"{count} hot reloads under load: all done", str(dict(done)), set(done) == {200}),
        Kept(f"{count} hot reloads under load: 0 failed", str(dict(statuses)), set(statuses) == {200}),
        Kept("every answer names one of the two versions", f"{len(digests)} digests", len(digests) == 2),
    ]


async def sigterm(options: Options) -> list[Kept]:
    """End the service with requests in flight; each was sent whole before the signal."""
    count, lost, codes, answered = 3 if options.short else 200, 0, Counter[int | None](), 0
    for _ in range(count):
        with service(options.bundle, cores=CORES) as running:
            connections = [Connection(running.port) for _ in range(8)]
            await asyncio.gather(*(one.ask(body_of(0)) for one in connections))
            asking = [asyncio.create_task(one.ask(body_of(number, 64))) for number, one in enumerate(connections)]
            await asyncio.sleep(0.002)
            running.process.send_signal(signal.SIGTERM)
            replies = await asyncio.gather(*asking)
            lost += sum(reply.status not in (200, 429) for reply in replies)
            answered += len(replies)
            codes[await asyncio.to_thread(running.process.wait, 30)] += 1
    return [
        Kept(f"{count} x SIGTERM: 0 lost", f"{lost} of {answered} lost", lost == 0),
        Kept(f"{count} x SIGTERM: exit code 0", str(dict(codes)), set(codes) == {0}),
    ]


async def worker_faults(options: Options) -> list[Kept]:
    """Kill and stop the worker process under load."""
    count = 2 if options.short else 50
    gaps, statuses, most = [], Counter[int](), 0
    with service(options.bundle, workers=1) as running:
        for number in range(2 * count):
            (worker,) = [one for one in psutil.Process(running.process.pid).children() if one.is_running()]
            asking = asyncio.create_task(load(running.port, 6, connections=8))
            await asyncio.sleep(1)
            worker.send_signal(signal.SIGSTOP if number % 2 else signal.SIGKILL)
            begin = time.perf_counter()
            while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.02)
            gaps.append(time.perf_counter() - begin)
            replies = await asking
            statuses.update(reply.status for reply in replies)
            most = max(most, sum(reply.status != 200 for reply in replies))
    return [
        Kept(f"{count} x SIGKILL and SIGSTOP: noticed ≤ 2 s", f"{max(gaps):.2f} s at most", max(gaps) <= 2),
        Kept("only 503 but for 200", str(dict(statuses)), set(statuses) <= {200, 503}),
        Kept("only the batch in hand fails (8 connections)", f"{most} at most", most <= 8),
    ]


async def slow_clients(options: Options) -> list[Kept]:
    """A healthy client beside 500 that drip their heads and 500 that drip their bodies."""
    count, seconds = (50, 3) if options.short else (500, 20)
    heads = (b"POST /predict HTTP/1.1\r\nhost: localhost\r\nx: ", b"POST /predict HTTP/1.1\r\nhost: localhost\r\n"
             b"content-type: application/json\r\ncontent-length: 1000\r\n\r\n{")  # fmt: skip
    with service(options.bundle, cores=CORES) as running:
        alone = await load(running.port, seconds, connections=1)

        async def drip(head: bytes) -> None:
            end = time.perf_counter() + seconds + 1
            while time.perf_counter() < end:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
                    writer.write(head)
                    while time.perf_counter() < end and not writer.is_closing():
                        writer.write(b"a")
                        await asyncio.sleep(2)
                    writer.close()
                except OSError:
                    await asyncio.sleep(0.5)

        dripping = [asyncio.create_task(drip(head)) for head in heads for _ in range(count)]
        await asyncio.sleep(1)
        beside = await load(running.port, seconds, connections=1)
        await asyncio.gather(*dripping)
    ratio = milliseconds(beside, 99, 200) / milliseconds(alone, 99, 200)
    statuses = Counter(reply.status for reply in beside)
    return [
        Kept(f"{count} slow heads and {count} slow bodies: p99 ≤ 1.5 x", f"{ratio:.2f} x", ratio <= 1.5),
        Kept("and the healthy client is answered", str(dict(statuses)), set(statuses) == {200}),
    ]


async def soak(options: Options) -> list[Kept]:
    """Half load for a long time."""
    seconds = 10 if options.short else 300
    with service(options.bundle, cores=CORES) as running:
        whole = await load(running.port, 2, connections=8)
        rate = len(whole) / 4
        await load(running.port, max(5, seconds / 10), connections=8, rate=rate)
        sizes = [memory(running)]
        for _ in range(5):
            replies = await load(running.port, seconds / 5, connections=8, rate=rate)
            sizes.append(memory(running))
    grown = (statistics.median(sizes[-2:]) - sizes[0]) / 2**20
    return [
        Kept(f"{seconds} s at half load: memory ≤ +1 MiB", f"{grown:+.2f} MiB", grown <= 1),
        Kept(
            "and all is answered", str(dict(Counter(r.status for r in replies))), all(r.status == 200 for r in replies)
        ),
    ]


PARTS: dict[str, Callable[[Options], Coroutine[None, None, list[Kept]]]] = {
    "overload": overload,
    "reload": reload,
    "sigterm": sigterm,
    "workers": worker_faults,
    "slow": slow_clients,
    "soak": soak,
}
CORES = {0} if (os.cpu_count() or 1) > 1 and 0 in os.sched_getaffinity(0) else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--slow", type=Path, help="the Bundle to overload, such as an encoder; else the same")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    given = parser.parse_args()
    options = Options(given.bundle, given.slow or given.bundle, given.short)
    if CORES is not None:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - CORES)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    rows = []
    for name in given.only.split(","):
        rows += (found := asyncio.run(PARTS[name](options)))
        for row in found:
            print(f"{'kept  ' if row.kept else 'BROKEN'}  {row.promise}: {row.found}", flush=True)
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
