"""A healthy client beside a thousand slow ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from statistics import median

from load import load
from processes import service, service_cores
from promises import Kept, Section

from hardships import Options, requests, told

__all__ = ["slow_clients"]


class Dripper(asyncio.Protocol):
    """A client that sends a beginning and then a byte every two seconds, and comes again when it is cut."""

    def __init__(self, port: int, beginning: bytes) -> None:
        self._port, self._beginning = port, beginning
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._drip())
        self._transport: asyncio.Transport | None = None
        self.num_cut = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._beginning)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the base class has it
        self._transport = None
        self.num_cut += 1

    def close(self) -> None:
        self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _drip(self) -> None:
        while True:
            if self._transport is None:
                await self._loop.create_connection(lambda: self, "127.0.0.1", self._port)
            await asyncio.sleep(2)
            if self._transport is not None:
                self._transport.write(b"a")


SLOW_HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\nx: "
SLOW_BODY = (
    b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"
)


async def slow_clients(options: Options) -> Section:
    """One healthy client alone and beside slow ones, in turns on one service; medians of the p99s count."""
    count, seconds, rounds = options.count(500, 50), options.count(8, 2), options.count(5, 2)
    alone, beside, statuses, num_cut, sent = [], [], Counter[int](), 0, requests()
    with service(options.bundle, cores=service_cores()) as running:
        await load(running.port, sent, connections=1, seconds=1)
        for _ in range(rounds):
            alone.append(await load(running.port, sent, connections=1, seconds=seconds))
            drippers = []
            for _ in range(count):
                drippers += [Dripper(running.port, beginning) for beginning in (SLOW_HEAD, SLOW_BODY)]
                await asyncio.sleep(10 / count)  # the time after which they are cut: so they are cut one by one
            beside.append(await load(running.port, sent, connections=1, seconds=seconds))
            for dripper in drippers:
                num_cut += dripper.num_cut
                dripper.close()
            statuses.update(beside[-1].statuses)
            await asyncio.sleep(0.5)
    tails = [[one.milliseconds(99) for one in group] for group in (alone, beside)]
    ratio = median(tails[1]) / median(tails[0])
    shown = f"{ratio:.2f} × ({median(tails[1]):.2f} ms beside, {median(tails[0]):.2f} ms alone)"
    rows = [
        Kept("a healthy client's p99 ≤ 1.3 ×", shown, ratio <= 1.3),
        Kept("it is answered", told(statuses), set(statuses) == {200}),
        Kept("slow clients are cut", f"{num_cut:,} times", num_cut > 0),
    ]
    table = ["p99 in ms, round by round", *(f"- {name}: {', '.join(f'{one:.2f}' for one in group)}"
             for name, group in zip(("alone", "beside"), tails, strict=True))]  # fmt: skip
    return Section(f"{count} slow heads and {count} slow bodies, {rounds} rounds of {seconds} s in turns", rows, table)
