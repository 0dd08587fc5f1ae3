"""Requests to a service of this machine, as fast as they are answered or at a constant rate; it knows no model.

A connection is a bare ``asyncio.Protocol`` on uvloop, so that the client takes little of the cores it shares with the
service: it writes bytes that were made before and looks for the status and the end of the answer, nothing else.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Connection", "Found", "Load", "Reply", "ask", "load", "percentile", "post"]

PAUSE_SECONDS = 0.02
"""After an answer that never came a connection waits so long before it tries again."""


class Reply(NamedTuple):
    """One answer.

    Attributes:
        status: Of HTTP; 0: the connection was cut before it came; -1: there was no connection.
        seconds: Since the request was written.
        body: Its bytes.
        closes: Whether the service ends the connection.
    """

    status: int
    seconds: float
    body: bytes
    closes: bool = True


@dataclass
class Found:
    """What a load has found.

    Attributes:
        seconds: How long it counted.
        client_cpu: CPU seconds of this process meanwhile.
        latencies: Seconds of every answer, by status.
    """

    seconds: float = 0.0
    client_cpu: float = 0.0
    latencies: defaultdict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    @property
    def statuses(self) -> Counter[int]:
        """How many answers there were of each status."""
        return Counter({status: len(seconds) for status, seconds in sorted(self.latencies.items())})

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies[200]) / self.seconds

    @property
    def offered(self) -> float:
        """Answers of every kind a second."""
        return sum(self.statuses.values()) / self.seconds

    def milliseconds(self, share: float, status: int = 200) -> float:
        """Return a percentile of the latencies; 0 if there is no such answer."""
        return percentile(self.latencies[status], share) * 1e3


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] if ordered else 0.0


def post(value: object, path: str = "/predict", *, body: bytes | None = None) -> bytes:
    """Return a whole request with a value as JSON, or with bytes."""
    content = json.dumps(value, ensure_ascii=False).encode() if body is None else body
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: "
    return f"{head}{len(content)}\r\n\r\n".encode() + content


class Connection:
    """One keep-alive connection, which connects again when it was cut; connecting counts as part of the answer.

    Args:
        port: Of 127.0.0.1.
        when_answered: Called with every reply.
    """

    def __init__(self, port: int, when_answered: Callable[[Reply], None]) -> None:
        self._port, self._when_answered = port, when_answered
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._answer = b""
        self._sent = 0.0
        self.is_waiting = False

    def ask(self, request: bytes) -> None:
        """Send one request; the last one must have been answered."""
        self.is_waiting, self._sent = True, time.perf_counter()
        if self._wire is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(request))
        else:
            self._wire.transport.write(request)

    def close(self) -> None:
        self.is_waiting = False
        if self._connecting is not None:
            self._connecting.cancel()
        self._drop()

    def take(self, data: bytes) -> None:
        """Take bytes of an answer."""
        answer = self._answer = self._answer + data if self._answer else data
        end = answer.find(b"\r\n\r\n")
        if end < 0 or not self.is_waiting:
            return
        head = answer[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(answer) < end + 4 + length:
            return
        closes = b"connection: close" in head
        if closes:
            self._drop()
        self._reply(int(head[9:12]), answer[end + 4 :], closes=closes)

    def lose(self, wire: Wire) -> None:
        """Take the end of a connection."""
        if wire is not self._wire:
            return
        self._wire = None
        if self.is_waiting:
            self._reply(0, b"", closes=True)

    async def _connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, self._wire = await loop.create_connection(lambda: Wire(self), "127.0.0.1", self._port)
        except OSError:
            self._reply(-1, b"", closes=True)
        else:
            self._wire.transport.write(request)

    def _drop(self) -> None:
        wire, self._wire, self._answer = self._wire, None, b""
        if wire is not None:
            wire.transport.abort()

    def _reply(self, status: int, body: bytes, *, closes: bool) -> None:
        self.is_waiting, self._answer = False, b""
        self._when_answered(Reply(status, time.perf_counter() - self._sent, body, closes))


class Wire(asyncio.Protocol):
    """What is connected for a Connection now; the end of an older one means nothing to it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.data_received = connection.take  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the base class has it
        self._connection.lose(self)


async def ask(port: int, request: bytes) -> Reply:
    """Return the answer to one request on a connection of its own."""
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    connection = Connection(port, future.set_result)
    connection.ask(request)
    reply = await future
    connection.close()
    return reply


class Load:
    """Connections that ask one request after the other until they are stopped.

    Args:
        port: Of 127.0.0.1.
        requests: Whole requests, which are sent in turns.
        connections: How many ask at a time.
        rate: Requests a second, all connections together; None asks again as soon as the answer is there.
        check: Called with the place of a request and its reply; the connection ends when it returns False.
    """

    def __init__(
        self,
        port: int,
        requests: Sequence[bytes],
        *,
        connections: int,
        rate: float | None = None,
        check: Callable[[int, Reply], bool] | None = None,
    ) -> None:
        self._requests, self._check = requests, check
        self._gap = connections / rate if rate else 0.0
        self._loop = asyncio.get_running_loop()
        self._ends = self._loop.create_future()
        self._has_ended = False
        self._num_open = connections
        self._next, self._asked = 0, [0] * connections
        self._timers: dict[int, asyncio.TimerHandle] = {}
        begin = time.perf_counter()
        self._due = [begin + number / rate if rate else begin for number in range(connections)]
        self._connections = [Connection(port, self._taker(number)) for number in range(connections)]
        self._begin_count()
        for number in range(connections):
            self._ask_when_due(number)

    def take_found(self) -> Found:
        """Return what was found since the last call, and begin to count anew."""
        found = self._found
        found.seconds = time.perf_counter() - self._begun
        found.client_cpu = time.process_time() - self._cpu_begun
        self._begin_count()
        return found

    async def stop(self, seconds: float = 30.0) -> Found:
        """Ask nothing more, wait so long for the answers on their way, and return what was not taken yet."""
        self._has_ended = True
        for number in self._timers:
            self._end_one()
            self._timers[number].cancel()
        self._timers.clear()
        return await self.wait(seconds)

    async def wait(self, seconds: float = 30.0) -> Found:
        """Wait until every connection has ended; what is not answered by then counts as cut."""
        if self._num_open:
            await asyncio.wait([self._ends], timeout=seconds)
        for connection in self._connections:
            if connection.is_waiting:
                self._found.latencies[0].append(seconds)
            connection.close()
        return self.take_found()

    def _begin_count(self) -> None:
        self._found = Found()
        self._begun, self._cpu_begun = time.perf_counter(), time.process_time()

    def _taker(self, number: int) -> Callable[[Reply], None]:
        def take(reply: Reply) -> None:
            self._found.latencies[reply.status].append(reply.seconds)
            goes_on = self._check is None or self._check(self._asked[number], reply)
            if self._has_ended or not goes_on:
                self._end_one()
                return
            if reply.status <= 0:
                self._due[number] = max(self._due[number], time.perf_counter() + PAUSE_SECONDS)
            else:
                self._due[number] += self._gap
            self._ask_when_due(number)

        return take

    def _ask_when_due(self, number: int) -> None:
        wait = self._due[number] - time.perf_counter()
        if wait > 0:
            self._timers[number] = self._loop.call_later(wait, self._ask, number)
        else:
            self._ask(number)

    def _ask(self, number: int) -> None:
        self._timers.pop(number, None)
        place = self._asked[number] = self._next
        self._next = (place + 1) % len(self._requests)
        self._connections[number].ask(self._requests[place])

    def _end_one(self) -> None:
        self._num_open -= 1
        if not self._num_open:
            self._ends.set_result(None)


async def load(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    rate: float | None = None,
    warm_seconds: float = 0.0,
) -> Found:
    """Ask for some seconds, after some that do not count, and return what was found."""
    asking = Load(port, requests, connections=connections, rate=rate)
    await asyncio.sleep(warm_seconds)
    asking.take_found()
    await asyncio.sleep(seconds)
    found = asking.take_found()
    await asking.stop()
    return found
