"""Single-text requests per second of `yanmo serve`, against a plain echo route of the same stack in the same run.

The echo route decodes the same JSON and encodes it again, in a bare ASGI application behind the same server with the
same settings: what is lost between the two is the queue, the thread and the model. Each server runs on one core, the
client on another; both are asked in turns. Beside the rate on the clock stands the rate per second of the server's CPU
time, which other work on the machine harms less.

    python benchmarks/serving.py models/ngram [--connections 32] [--seconds 3] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import uvloop

ECHO = """
import msgspec, uvicorn
from yanmo.serving.schemas import PredictBody

decode, encode = msgspec.json.Decoder(PredictBody).decode, msgspec.json.Encoder().encode

async def echo(scope, receive, send):
    body = encode(decode((await receive())["body"]))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200 if body else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})

uvicorn.run(echo, port=8901, http="httptools", ws="none", lifespan="off", log_level="critical", access_log=False,
            server_header=False, proxy_headers=False)
"""
SERVE = """
import sys
from yanmo.artifacts import Bundle
from yanmo.serving.config import ServeConfig
from yanmo.serving.serve import serve
serve((Bundle.open(sys.argv[1]),), ServeConfig(port=8902))
"""
TEXTS = [
    "很快，好吃，下次还点",
    "送餐太慢了，等了一个半小时，菜都凉了",
    "2010年考研英语大纲词汇解析",
    "The package arrived two days late and the box was open.",
    "中国足球队主教练谈世界杯预选赛",
    "How do I change my PIN?",
    "味道一般，分量还行，就是价格有点贵",
    "Great value, would buy again!",
]


class Figures(NamedTuple):
    """Requests per second of the clock and of CPU time; latency in ms."""

    rate: float
    rate_of_cpu: float
    median: float
    tail: float


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer is there, and counts."""

    def __init__(self, requests: list[bytes], start: int) -> None:
        self.requests, self.number = requests, start
        self.latencies: list[float] = []
        self.answer = b""
        self.bad = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        self.sent = time.perf_counter()
        self.number += 1
        self.transport.write(self.requests[self.number % len(self.requests)])

    def data_received(self, data: bytes) -> None:
        self.answer += data
        head, _, body = self.answer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not length or len(body) < int(length):
            return
        self.bad += not head.startswith(b"HTTP/1.1 200")
        self.latencies.append(time.perf_counter() - self.sent)
        self.answer = b""
        self.send()


async def load(port: int, process: psutil.Process, *, connections: int, seconds: float) -> Figures:
    """Ask one server for some seconds."""
    loop = asyncio.get_running_loop()
    bodies = [json.dumps({"text": text}, ensure_ascii=False).encode() for text in TEXTS]
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    requests = [head % len(body) + body for body in bodies]
    made = [
        (await loop.create_connection(lambda i=i: Connection(requests, i), "127.0.0.1", port))[1]
        for i in range(connections)
    ]
    await asyncio.sleep(seconds / 4)
    for one in made:
        one.latencies.clear()
    begin, cpu_begin = time.perf_counter(), cpu_seconds(process)
    await asyncio.sleep(seconds)
    passed, cpu_passed = time.perf_counter() - begin, cpu_seconds(process) - cpu_begin
    latencies = sorted(latency for one in made for latency in one.latencies)
    assert not any(one.bad for one in made), "an answer was not 200"
    for one in made:
        one.transport.close()
    median, tail = (latencies[len(latencies) * share // 100] * 1e3 for share in (50, 99))
    return Figures(len(latencies) / passed, len(latencies) / cpu_passed, median, tail)


@contextlib.contextmanager
def server(code: str, *arguments: str) -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    os.sched_setaffinity(process.pid, {0})
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port: int) -> None:
    async def answers() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.write(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        status = (await reader.readline()).split()[1]
        writer.close()
        return status in {b"200", b"500"}

    while not asyncio.run(answers()):
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, {1 % (os.cpu_count() or 1)})
    ports = {"echo": 8901, "yanmo serve": 8902}
    figures: dict[str, list[Figures]] = {name: [] for name in ports}
    with server(ECHO) as echo, server(SERVE, str(options.bundle)) as ours:
        processes = {"echo": echo, "yanmo serve": ours}
        for port in ports.values():
            wait_for(port)
        for _ in range(options.rounds):
            for name, port in ports.items():
                asked = load(port, processes[name], connections=options.connections, seconds=options.seconds)
                figures[name].append(uvloop.run(asked))
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{options.connections} connections, {options.rounds} rounds of {options.seconds} s, server on one core")
    print(f"{'':12}  {'requests/s':>10}  {'per CPU s':>10}  {'p50 ms':>7}  {'p99 ms':>7}")
    for name, rounds in figures.items():
        middle = Figures(*(statistics.median(column) for column in zip(*rounds, strict=True)))
        print(f"{name:12}  {middle.rate:10,.0f}  {middle.rate_of_cpu:10,.0f}  {middle.median:7.2f}  {middle.tail:7.2f}")
    pairs = list(zip(figures["yanmo serve"], figures["echo"], strict=True))
    clock, cpu = ([ours[column] / echo[column] for ours, echo in pairs] for column in (0, 1))
    print(f"{'ratio':12}  {statistics.median(clock):10.2f}  {statistics.median(cpu):10.2f}")


if __name__ == "__main__":
    main()
