"""One HTTP connection: uvicorn's, with deadlines and limits on what comes in; it knows no route.

Uvicorn keeps a client that sends a byte now and then, whatever it costs. Here the head of a request, its body and the
reading of the answer each have a deadline, and head and address a size. One look a tick goes over all connections, so
a request that arrives whole costs no timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from yanmo.serving.problems import Problem, raw_response
from yanmo.serving.resting import RestRoom

__all__ = ["Connection", "ConnectionLimits", "Refusal", "Refuser", "watch"]

# A deadline may be late by one tick, which is nothing to seconds of patience.
TICK_SECONDS = 0.1
LOOKED_AT = 32
"""So many connections are looked at in one go: all of a thousand took longer than a request to a small model."""
MAX_HEADERS = 64
MAX_URL_BYTES = 4096
MAX_HEAD_BYTES = 16_384
"""The most bytes of a head, and of extensions and trailers that come with a body in chunks; nobody reads these."""
CHUNK_BYTES = 16
"""The size of a chunk and the ends of its lines are no more."""
DETAILS = {
    "bad_http": "Send HTTP/1.1.",
    "too_slow": "Send the whole request faster.",
    "url_too_long": "At most {number} bytes are allowed.",
    "headers_too_large": "At most {number} headers of together {size} bytes are allowed.",
    "too_many_connections": "Connect again later.",
}
LIMITS = {
    "url_too_long": {"number": MAX_URL_BYTES},
    "headers_too_large": {"number": MAX_HEADERS, "size": MAX_HEAD_BYTES},
}

Phase = Literal["head", "body"]


class Refusal(NamedTuple):
    """An answer that needs no body and no application: its bytes, when to come again, and whether it is the last."""

    answer: bytes
    seconds: int
    closes: bool


class Refuser(Protocol):
    """What refuses requests before the application is called.

    Attributes:
        is_full: Whether the last one was refused, so that the next one is likely to be.
    """

    is_full: bool

    def of_known(self, connection: Connection, data: bytes) -> Refusal | None:
        """Return the refusal of bytes that are one whole request with a head that is known."""
        ...

    def of_head(self, connection: Connection) -> Refusal | None:
        """Return the refusal of the request whose head has come."""
        ...

    def note(self, data: bytes) -> None:
        """Know the head of these bytes, which are the request that was refused last, and no more."""
        ...


@dataclass(frozen=True)
class ConnectionLimits:
    """What one connection may take.

    Attributes:
        receive_seconds: The head of a request has this long to arrive, and its body as long again.
        send_seconds: A client has this long to take bytes that wait for it.
        max_connections: More than these at a time are refused.
        on_refused: Told the problem's code of every refusal here.
        refusals: What is refused before the application is called; None for nothing.
        rest_room: Where those that were refused so wait until they may come again.
    """

    receive_seconds: float
    send_seconds: float
    max_connections: int
    on_refused: Callable[[str], None] = field(default=lambda _: None)
    refusals: Refuser | None = None
    rest_room: RestRoom | None = None


class RefusedError(Exception):
    """Raised inside the parser's callbacks to end the parsing."""


class AnswerTransport:
    """The transport as an answer sees it: it closes only after the client has sent the rest of its request."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        """Send a part of the answer."""
        # One that was cut while an answer waited for its client takes nothing more.
        if not self._connection.transport.is_closing():
            self._connection.transport.write(data)

    def is_closing(self) -> bool:
        """Return whether nothing more can be sent."""
        return self._connection.transport.is_closing()

    def close(self) -> None:
        """End the connection after the answer."""
        self._connection.close_gently()


class Connection(HttpToolsProtocol):
    """Uvicorn's connection with deadlines.

    Attributes:
        on_gone: Called when the client leaves before its answer.
        told: What the client was told in the middle of a request; 499 while it was told nothing.
    """

    def __init__(self, *args: Any, limits: ConnectionLimits, **named: Any) -> None:
        super().__init__(*args, **named)
        self.limits = limits
        self.on_gone: Callable[[], None] | None = None
        self.told = 499
        self._phase: Phase | None = "head"
        self._num_requests = 0
        self._since = self.loop.time()
        self._unsent_since: float | None = None
        self._num_head_bytes = 0
        self._num_body_bytes = 0
        self._refusal = "bad_http"
        self._is_ending = False
        self._refused: Refusal | None = None
        self._answer_transport = AnswerTransport(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or refuse where there are too many."""
        super().connection_made(transport)
        # The connection has added itself by now.
        if len(self.connections) > self.limits.max_connections:
            self._refuse("too_many_connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever works for the client that it has left."""
        super().connection_lost(exc)
        if self.limits.rest_room is not None:
            self.limits.rest_room.release(self)
        if self.on_gone is not None:
            self.on_gone()

    def data_received(self, data: bytes) -> None:
        """Parse; note when a request begins to be waited for."""
        was_between = self._is_between
        if self._is_ending or (was_between and self._refuse_known(data)):
            return
        before = self._phase, self._num_requests
        # Counts what the callbacks find in these bytes; the rest of them is head, extensions or trailers.
        self._num_body_bytes = 0
        super().data_received(data)
        # White space before a request, which the parser passes over; or the end of a body that was answered before.
        is_between = self._phase is None and not self._is_answering
        if is_between:
            self._phase = "head"
        if (self._phase, self._num_requests) != before:
            self._since = self.loop.time()
            # At least; the end of another request may be before it.
            self._num_head_bytes = int(self._phase == "head" and not is_between)
        elif self._phase == "body":
            self._num_head_bytes = max(0, self._num_head_bytes + len(data) - self._num_body_bytes)
        elif self._phase == "head":
            self._num_head_bytes += len(data)
        if self._num_head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse("headers_too_large")
        elif self._refused is not None:
            is_all = was_between and is_between and self._num_requests == before[1] + 1
            self._end_refusal(self._refused, data if is_all else b"")

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow the one whose head has come."""
        # Who waits for leave to send the body will not send it, and what comes next could be taken for its beginning.
        return (
            self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive() and not self.expect_100_continue
        )

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_between(self) -> bool:
        """Whether no request is on its way, and what comes next is the beginning of one."""
        is_waiting = self._phase is None or (self._phase == "head" and not self._num_head_bytes)
        return is_waiting and not self._is_answering

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        # What comes after the last answer is dropped with it.
        if not self._is_ending:
            self._refused = None
        self._phase = "head"
        self._num_requests += 1
        # ASGI hands the application no connection; its extensions may hold anything.
        self.scope["extensions"] = {"yanmo.connection": self}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        super().on_url(url)
        # The parser hands out the address in parts, so an endless one is noticed while it comes.
        if len(self.url) > MAX_URL_BYTES:
            self._refusal = "url_too_long"
            raise RefusedError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is dropped."""
        if self._phase == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the application, which waits for its body."""
        headers = self.headers
        if len(headers) > MAX_HEADERS or sum([len(name) + len(value) for name, value in headers]) > MAX_HEAD_BYTES:
            self._refusal = "headers_too_large"
            raise RefusedError
        self._refused = self._refuse_early()
        if self._refused is None:
            super().on_headers_complete()
            self.cycle.transport = self._answer_transport  # type: ignore[assignment]
        self._phase = "body"

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, at most a chunk."""
        if self._refused is None:
            super().on_body(body)
        self._num_body_bytes += len(body) + CHUNK_BYTES

    def on_message_complete(self) -> None:
        """End a request."""
        if self._refused is None:
            super().on_message_complete()
        self._phase = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Answer what is no HTTP, or more than the limits."""
        # Whatever a callback raises comes out here, as uvicorn calls this after any error of its parser.
        self._refuse(self._refusal)

    def close_gently(self) -> None:
        """End the connection; of a request that is still arriving the rest is dropped first.

        The system answers bytes that nobody reads with a reset, by which a client that sends all before it reads loses
        the answer. Half of the connection is closed at once, and the other half when the client has done so, too, or
        its time for the body is over.
        """
        if self._phase == "body" and not self.pipeline and not self.transport.is_closing():
            self._is_ending = True
            self.transport.write_eof()
        else:
            self.transport.close()

    def check(self, now: float) -> None:
        """Cut the client if it is too slow.

        Args:
            now: The event loop's time in seconds.
        """
        is_closing = self.transport.is_closing()
        if not self.transport.get_write_buffer_size():
            self._unsent_since = None
        elif self._unsent_since is None:
            self._unsent_since = now
        elif now - self._unsent_since > self.limits.send_seconds:
            # One that is refused already was counted then.
            if not is_closing:
                self.limits.on_refused("too_slow")
            # close would wait for the client to take what it does not take.
            self.transport.abort()
            return
        if self._is_ending and now - self._since > self.limits.receive_seconds:
            self.transport.abort()
            return
        is_late = self._phase is not None and now - self._since > self.limits.receive_seconds
        # While reading is paused, the service is late and not the client.
        if is_late and not self.flow.read_paused and not is_closing:
            self._cut()

    def _refuse_known(self, data: bytes) -> bool:
        """Refuse bytes that are one whole request like others that were refused; the parser never sees them."""
        refusals = self.limits.refusals
        knows = refusals is not None and refusals.is_full and not self.flow.write_paused
        refusal = refusals.of_known(self, data) if refusals is not None and knows else None
        if refusal is None:
            return False
        self.transport.write(refusal.answer)
        self._unset_keepalive_if_required()
        # As after a request that the parser has seen: an idle connection, which is cut after its time.
        self._phase, self._num_head_bytes, self._since = "head", 0, self.loop.time()
        self._rest(refusal)
        return True

    def _refuse_early(self) -> Refusal | None:
        if self._is_ending:
            return self._refused
        # No answer overtakes one that is still to come, and nobody is written to who does not read.
        if self.limits.refusals is None or self._is_answering or self.flow.write_paused:
            return None
        refusal = self.limits.refusals.of_head(self)
        if refusal is not None:
            self.transport.write(refusal.answer)
            self._is_ending = refusal.closes
        return refusal

    def _end_refusal(self, refusal: Refusal, data: bytes) -> None:
        """Go on after a refusal.

        Args:
            refusal: The last one.
            data: The request, if it came whole and alone.
        """
        if refusal.closes:
            self.close_gently()
        # The rest of a body is read and dropped.
        elif self._phase != "body":
            if data and self.limits.refusals is not None:
                self.limits.refusals.note(data)
            self._rest(refusal)

    def _rest(self, refusal: Refusal) -> None:
        if self.limits.rest_room is not None:
            self.limits.rest_room.take(self, refusal.seconds)

    def _cut(self) -> None:
        cycle = self.cycle
        # It was answered already; a second answer would be the next request's.
        if self._phase == "body" and self._refused is not None:
            self.transport.abort()
            return
        if self._phase == "body" and cycle is not None:
            # A second answer in the middle of the first would be read as a part of it.
            if cycle.response_started:
                self.transport.abort()
                return
            # As if the client had gone: this wakes the application, which waits for the rest of the body.
            cycle.disconnected = True
            cycle.message_event.set()
        # A connection that has asked nothing is idle, which is no mistake to be told.
        if self._num_head_bytes or self._phase == "body":
            self._refuse("too_slow")
        else:
            self.transport.close()

    def _refuse(self, code: str) -> None:
        self.limits.on_refused(code)
        headers = {"retry-after": "1"} if code == "too_many_connections" else None
        # Before the headers are whole nobody knows which language the client reads.
        problem = Problem(code, DETAILS[code], headers=headers, **LIMITS.get(code, {}))
        self.told = problem.status
        self.transport.write(raw_response(problem))
        self.transport.close()


async def watch(connections: Iterable[Any]) -> None:
    """Look at all connections every ``TICK_SECONDS``, for ever; at a few at a time, so that no request waits long."""
    loop = asyncio.get_running_loop()
    while True:
        found = list(connections)
        starts: Sequence[int] = range(0, len(found), LOOKED_AT) or (0,)
        for start in starts:
            await asyncio.sleep(TICK_SECONDS / len(starts))
            now = loop.time()
            for connection in found[start : start + LOOKED_AT]:
                connection.check(now)
