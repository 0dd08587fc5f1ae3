"""How fast `yanmo serve` answers: beside an echo route, `yanmo predict`, and the services people would write instead.

    python benchmarks/serving.py                      # everything, about six minutes on 2 cores
    python benchmarks/serving.py --only ngram         # one part: ngram, bert, services
    python benchmarks/serving.py --write              # also into benchmarks/service_HARDWARE_YYYYMM.md

ngram: the service on one core, the client on another; the echo route decodes the same JSON and encodes it again in a
bare ASGI application behind the same server, so what is lost between the two is the queue, the thread and the model.
bert, services: the services and the client share all cores. Everything takes turns, medians count, threads are equal.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import uvloop
from engines import OUT, TITLES, prepare_texts, run_python, shape_folder
from load import Found, Load, post
from peers import services
from peers.models import read_texts, shuffled
from peers.process import environment
from processes import ALL_CORES, leave_cores_to_service, service, service_cores
from promises import Kept, Progress, Section, report

ECHO = """
import msgspec, sys, uvicorn
from yanmo.serving.schemas import PredictBody

decode, encode = msgspec.json.Decoder(PredictBody).decode, msgspec.json.Encoder().encode

async def echo(scope, receive, send):
    body = encode(decode((await receive())["body"]))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)

Server(uvicorn.Config(echo, port=0, http="httptools", ws="none", lifespan="off", log_level="critical",
                      access_log=False, server_header=False, proxy_headers=False)).run()
"""
NUM_REQUESTS = 5000
PATIENT = {"max_queue_ms": 10_000}
"""The others refuse nobody, so neither do ours here: 64 connections are all that can wait."""


class Turn(NamedTuple):
    """What one service did in one turn.

    Attributes:
        rate: Good answers a second.
        tail: p99 of their latency in ms.
        middle: p50 of it.
        rate_of_cpu: Good answers per CPU second of the service.
        client_cpu: CPU seconds of the client a second.
        failed: Answers that were not 200.
    """

    rate: float
    tail: float
    middle: float
    rate_of_cpu: float
    client_cpu: float
    failed: float


def main() -> int:
    options = parse(sys.argv[1:])
    os.environ.update(environment(options.threads))
    OUT.mkdir(parents=True, exist_ok=True)
    prepare_texts(options.dataset)
    requests = [post({"text": text}) for text in shuffled(read_texts(OUT / "test.txt"))[:NUM_REQUESTS]]
    progress, kept = Progress(), True
    for part in options.only:
        progress.begin(part)
        section = PARTS[part](options, requests)
        progress.end(part)
        kept &= report(part, section, write=options.write)
    return 0 if kept else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help="parts, by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument(
        "--threads", type=int, default=min(2, len(ALL_CORES)), help="of every model of bert and services"
    )
    parser.add_argument("--dataset", type=Path, default=TITLES / "data", help="a Dataset of titles")
    parser.add_argument(
        "--small", type=Path, default=TITLES / "bert-4x312", help="a trained bert-4x312, a torch Bundle"
    )
    parser.add_argument("--write", action="store_true", help="also write the dated page")
    options = parser.parse_args(arguments)
    if unknown := [part for part in options.only if part not in PARTS]:
        parser.error(f"there is no part '{unknown[0]}'; the parts are {', '.join(PARTS)}")
    return options


def take_turn(port: int, pid: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Turn:
    """Ask one service for some seconds, after a quarter of them that do not count."""
    process = psutil.Process(pid)
    processes = [process, *process.children(recursive=True)]

    async def ask() -> tuple[Found, float]:
        asking = Load(port, requests, connections=connections)
        await asyncio.sleep(seconds / 4)
        asking.take_found()
        before = sum(map(cpu_seconds, processes))
        await asyncio.sleep(seconds)
        found, used = asking.take_found(), sum(map(cpu_seconds, processes)) - before
        await asking.stop()
        return found, used

    found, used = uvloop.run(ask())
    num_good = len(found.latencies[200])
    return Turn(
        found.rate,
        found.milliseconds(99),
        found.milliseconds(50),
        num_good / used if used else 0.0,
        found.client_cpu / found.seconds,
        found.statuses.total() - num_good,
    )


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def middle(turns: Sequence[Turn]) -> Turn:
    """Return the medians; the failed answers are counted together."""
    columns = list(zip(*turns, strict=True))
    return Turn(*map(statistics.median, columns[:-1]), sum(columns[-1]))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of the rounds; a service that answered nothing is infinitely slow."""
    return statistics.median(mine / other if other else float("inf") for mine, other in zip(ours, theirs, strict=True))


def table(turns: dict[str, list[Turn]]) -> list[str]:
    lines = [
        "| | requests/s | p50, ms | p99, ms | requests per CPU second | client, CPU s per s |",
        "|---|---|---|---|---|---|",
    ]
    for name, rounds in turns.items():
        one, rates = middle(rounds), [turn.rate for turn in rounds]
        cells = [name, f"**{one.rate:,.0f}** ({min(rates):,.0f} – {max(rates):,.0f})", f"{one.middle:.2f}"]
        cells += [f"{one.tail:.2f}", f"{one.rate_of_cpu:,.0f}", f"{one.client_cpu:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def all_answered(turns: dict[str, list[Turn]]) -> Kept:
    failed = sum(turn.failed for rounds in turns.values() for turn in rounds)
    return Kept("every answer is 200", f"{failed:.0f} are not", failed == 0)


def measure_ngram(options: argparse.Namespace, requests: Sequence[bytes]) -> Section:
    """Measure the ngram Bundle beside the echo route, each on the service's core."""
    run_python("peers.models", "ngram", str(options.dataset), str(OUT))
    turns: dict[str, list[Turn]] = {"yanmo serve": [], "echo": []}
    leave_cores_to_service()
    try:
        with service(OUT / "ngram", cores=service_cores(), num_threads=1) as ours, echo() as (port, pid):
            addresses = {"yanmo serve": (ours.port, ours.process.pid), "echo": (port, pid)}
            for _ in range(options.rounds):
                for name, address in addresses.items():
                    turns[name].append(take_turn(*address, requests, connections=32, seconds=options.seconds))
    finally:
        os.sched_setaffinity(0, ALL_CORES)
    rate = middle(turns["yanmo serve"]).rate
    shares = [
        ratio([one[place] for one in turns["yanmo serve"]], [one[place] for one in turns["echo"]]) for place in (0, 3)
    ]
    rows = [
        Kept("≥ 8,000 single-text requests/s on one core", f"{rate:,.0f}", rate >= 8000),
        all_answered(turns),
    ]
    lines = [*table(turns), "", f"Of the echo route's rate: {shares[0]:.2f}; per CPU second: {shares[1]:.2f}."]
    return Section("ngram, 32 connections, the service on one core, the client on the other", rows, lines)


@contextlib.contextmanager
def echo() -> Iterator[tuple[int, int]]:
    """Run the echo route; yield its port and its process id."""
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, service_cores() or ALL_CORES)
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.terminate()


def measure_bert(options: argparse.Namespace, requests: Sequence[bytes]) -> Section:
    """Measure the service at 64 connections in turns with `yanmo predict` on the same texts."""
    bundle = shape_folder(options, "small") / "bundle-int8"
    turns: dict[str, list[Turn]] = {"yanmo serve": []}
    batch: list[Rate] = []
    texts = shuffled(read_texts(OUT / "test.txt"))[:NUM_REQUESTS]
    with service(bundle, cores=ALL_CORES, num_threads=options.threads, **PATIENT) as ours:
        for _ in range(options.rounds):
            with paused([ours.process.pid]):
                batch.append(predict_rate(bundle, texts, options.threads))
            turn = take_turn(ours.port, ours.process.pid, requests, connections=64, seconds=options.seconds)
            turns["yanmo serve"].append(turn)
    # The client of the service takes a part of the same cores, so each side is held against its own CPU seconds.
    share = ratio([turn.rate_of_cpu for turn in turns["yanmo serve"]], [one.of_cpu for one in batch])
    ours, theirs = middle(turns["yanmo serve"]).rate_of_cpu, statistics.median(one.of_cpu for one in batch)
    found = f"{share:.0%}: {ours:,.0f} of {theirs:,.0f} texts a CPU second"
    rows = [Kept("≥ 85 % of `yanmo predict` per CPU second", found, share >= 0.85), all_answered(turns)]
    rates = ", ".join(f"{one.rate:,.0f} ({one.of_cpu:,.0f} a CPU second)" for one in batch)
    lines = [*table(turns), "", f"`yanmo predict`, {len(texts):,} texts, its start taken off: {rates} texts/s."]
    return Section(f"bert-4x312 int8, 64 connections, {options.threads} threads, client on the same cores", rows, lines)


class Rate(NamedTuple):
    """Texts a second of the clock, and of the processor."""

    rate: float
    of_cpu: float


def predict_rate(bundle: Path, texts: Sequence[str], num_threads: int) -> Rate:
    """Return the speed of the command; what it takes for one text is taken off."""
    whole, start = (predict_seconds(bundle, part, num_threads) for part in (texts, texts[:1]))
    return Rate(*(len(texts) / (one - other) for one, other in zip(whole, start, strict=True)))


def predict_seconds(bundle: Path, texts: Sequence[str], num_threads: int) -> tuple[float, float]:
    """Return the seconds of the command, by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "texts.csv")
        with source.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["text"], *([text] for text in texts)])
        command = [sys.executable, "-m", "yanmo", "predict", str(bundle), str(source), "--out", str(Path(name, "out"))]
        begin = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--num-threads", str(num_threads)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, process.returncode, usage = os.wait4(process.pid, 0)
        if process.returncode:
            raise RuntimeError(f"yanmo predict ended with status {process.returncode}")
        return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def paused(pids: Sequence[int]) -> Iterator[None]:
    """Stop some processes and their children while another one is measured."""
    roots = [psutil.Process(pid) for pid in pids]
    processes = [one for root in roots for one in (root, *root.children(recursive=True))]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


OURS, OURS_FP32 = "yanmo serve, int8", "yanmo serve, fp32"
PEERS = {"article-style, Flask and torch": "article_service", "LitServe and torch": "litserve_service"}


def measure_services(options: argparse.Namespace, requests: Sequence[bytes]) -> Section:
    """Measure the services that people would write for the same model, in turns with ours."""
    folder = shape_folder(options, "small")
    turns: dict[int, dict[str, list[Turn]]] = {64: {}, 1: {}}
    with contextlib.ExitStack() as stack:
        addresses: dict[str, tuple[int, int]] = {}
        for name, bundle in ((OURS, "bundle-int8"), (OURS_FP32, "bundle-onnx")):
            ours = stack.enter_context(
                service(folder / bundle, cores=ALL_CORES, num_threads=options.threads, **PATIENT)
            )
            addresses[name] = ours.port, ours.process.pid
        for name, variant in PEERS.items():
            addresses[name] = stack.enter_context(peer(variant, folder, options.threads))
        for _ in range(options.rounds):
            for connections, of_services in turns.items():
                seconds = options.seconds * (2 if connections > 1 else 1)  # the slowest takes seconds for 64 answers
                for name, address in addresses.items():
                    with paused([pid for other, (_, pid) in addresses.items() if other != name]):
                        turn = take_turn(*address, requests, connections=connections, seconds=seconds)
                    of_services.setdefault(name, []).append(turn)
    rows = [compared(turns, name, connections) for name in PEERS for connections in turns]
    lines = []
    for connections, of_services in turns.items():
        rows.append(all_answered(of_services))
        lines += [f"{connections} connection{'s' * (connections > 1)}:", "", *table(of_services), ""]
    return Section(f"The same bert-4x312 behind other services, {options.threads} threads each, in turns", rows, lines)


def compared(turns: dict[int, dict[str, list[Turn]]], name: str, connections: int) -> Kept:
    """Hold the int8 service against another: 20 times the rate of the article at 64 connections, else ahead in both."""
    ours, theirs = turns[connections][OURS], turns[connections][name]
    times = ratio([turn.rate for turn in ours], [turn.rate for turn in theirs])
    wanted = 20 if PEERS[name] == "article_service" and connections == 64 else 1
    mine, other = middle(ours).tail, middle(theirs).tail
    promise = f"{name}, {connections} connection{'s' * (connections > 1)}: > {wanted} × its requests/s and lower p99"
    return Kept(promise, f"{times:.1f} ×, {mine:.1f} ms for {other:.1f} ms", times >= wanted and mine < other)


@contextlib.contextmanager
def peer(variant: str, folder: Path, num_threads: int) -> Iterator[tuple[int, int]]:
    """Run another service; yield its port and its process id."""
    process, port = services.start(variant, folder, num_threads, stderr=subprocess.DEVNULL)
    try:
        yield port, process.pid
    finally:
        for one in psutil.Process(process.pid).children(recursive=True):
            one.kill()
        process.kill()
        process.wait()


PARTS: dict[str, Callable[[argparse.Namespace, Sequence[bytes]], Section]] = {
    "ngram": measure_ngram,
    "bert": measure_bert,
    "services": measure_services,
}


if __name__ == "__main__":
    sys.exit(main())
