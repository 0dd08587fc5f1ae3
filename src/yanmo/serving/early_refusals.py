"""What is refused from its head alone: requests to a model whose queue is full; no body is read, no route is called.

At ten times the load nine of ten requests are refused, on the core that the model needs, so a refusal costs little more
than one read and one write: the parser is asked once for a head, and not again for one of the same bytes. Whoever would
be refused for another reason (no key, a wrong Host, a page of elsewhere, a body that is too large) is left to the
application, and is told the same as ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from yanmo.serving.access import Access
from yanmo.serving.connection import Connection, Refusal
from yanmo.serving.exchange import Observer, RequestIds, problem_reply
from yanmo.serving.keys import ApiKey
from yanmo.serving.model import Model
from yanmo.serving.predict import queue_full
from yanmo.serving.problems import PROBLEMS, Problem
from yanmo.serving.routes import TABLE
from yanmo.serving.service import Service
from yanmo.translations import Language, preferred_language

__all__ = ["EarlyRefusals"]

LOOKED_AT_WHOLE = (b"origin", b"sec-fetch-site", b"transfer-encoding", b"upgrade")
"""A head with one of these is the application's."""
MAX_HEADS = 1024
MAX_KNOWN_BYTES = 1024
"""The heads that are known take a mebibyte at most."""
HEAD_END = b"\r\n\r\n"
CLOSING = b"\r\nconnection: close"
TOO_MANY = int(PROBLEMS["queue_full"][0])


class Addressed(NamedTuple):
    """What an address asks: which model, by which name in the path, by which route."""

    model: Model
    name: str | None
    route_path: str


class RequestHead(NamedTuple):
    """What the parser has found in a head."""

    asked: Addressed
    headers: Mapping[bytes, bytes]
    num_body_bytes: int
    keeps_alive: bool
    language: Language


class RefusedCall(NamedTuple):
    """A request as those see it who write down what happened."""

    service: Service
    headers: Mapping[bytes, bytes]
    name: str | None
    request_id: bytes
    key: ApiKey | None


class EarlyRefusals:
    """Answers requests to models whose queues are full.

    Args:
        service: Whose models.
        access: Who may ask.
        ids: Makes the ids of requests.
        observers: Told every answer.
        admin_port: Where no model is asked; None if there is no such port.

    Attributes:
        is_full: Whether the last one was refused, so that the next one is likely to be.
    """

    def __init__(
        self,
        service: Service,
        access: Access,
        ids: RequestIds,
        observers: Sequence[Observer],
        *,
        admin_port: int | None = None,
    ) -> None:
        self._service, self._access, self._ids, self._observers = service, access, ids, observers
        self._admin_port = admin_port
        self._asked = dict(_addresses(service, service.config.root_path))
        self._heads: dict[bytes, RequestHead] = {}
        self._latest: RequestHead | None = None
        self.is_full = False
        self._made: dict[Language, tuple[int, list[tuple[bytes, bytes]], bytes, bytes]] = {}

    def of_known(self, connection: Connection, data: bytes) -> Refusal | None:
        """Return the refusal of bytes that are one whole request, whose head was refused before; None for all else."""
        end = data.find(HEAD_END) + len(HEAD_END)
        head = self._heads.get(data[:end])
        if head is None or len(data) != end + head.num_body_bytes:
            return None
        return self._refuse(connection, head)

    def of_head(self, connection: Connection) -> Refusal | None:
        """Return the refusal of the request whose head has come; None if it is the application's to answer."""
        asked = self._asked.get(connection.url)
        if asked is None or not asked.model.batcher.seconds_until_room():
            return None
        self._latest = head = self._read(connection, asked)
        return None if head is None else self._refuse(connection, head)

    def note(self, data: bytes) -> None:
        """Keep the head that was refused last, found in bytes in which one whole request was all."""
        head, end = self._latest, data.find(HEAD_END) + len(HEAD_END)
        # Where something stands before the head, or its lines end otherwise, the sum is another one.
        if head is None or end > MAX_KNOWN_BYTES or len(data) != end + head.num_body_bytes:
            return
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[data[:end]] = head

    def _read(self, connection: Connection, asked: Addressed) -> RequestHead | None:
        """Return what a head asks, where a full queue is the only reason to refuse it, but for the key."""
        headers = dict(connection.headers)
        declared = headers.get(b"content-length", b"")
        is_plain = (
            connection.parser.get_method() == b"POST"
            # Of a name that stands there twice the application says what is wrong.
            and len(headers) == len(connection.headers)
            and not any(name in headers for name in LOOKED_AT_WHOLE)
            and declared.isdigit()
            and len(declared) < 10
            and int(declared) <= self._service.config.max_body_bytes
        )
        if not is_plain:
            return None
        try:
            self._access.check_host(headers)
        except Problem:
            return None
        accepted = headers.get(b"accept-language", b"").decode("latin-1")
        language = preferred_language(accepted, self._service.config.language)
        return RequestHead(asked, headers, int(declared), connection.keeps_alive, language)

    def _refuse(self, connection: Connection, head: RequestHead) -> Refusal | None:
        model, name, route_path = head.asked
        seconds = model.batcher.seconds_until_room()
        self.is_full = seconds > 0
        if not seconds or self._service.state != "ready" or self._is_admin_port(connection):
            return None
        try:
            key = self._access.admit(head.headers, "predict")
        except Problem:
            return None
        counters, request_id = self._service.counters, self._ids.of(head.headers)
        counters.add_refused("queue_full")
        counters.add_request(route_path, TOO_MANY, 0.0)
        for observer in self._observers:
            call = RefusedCall(self._service, head.headers, name, request_id, key)
            observer.write(call, route_path, TOO_MANY, 0.0)
        first, last = self._parts(seconds, head.language, connection.server_state.default_headers)
        closing = b"" if head.keeps_alive else CLOSING
        return Refusal(b"%s%s%s%s" % (first, request_id, closing, last), seconds, closes=not head.keeps_alive)

    def _is_admin_port(self, connection: Connection) -> bool:
        return (
            self._admin_port is not None and connection.server is not None and connection.server[1] == self._admin_port
        )

    def _parts(
        self, seconds: int, language: Language, default_headers: list[tuple[bytes, bytes]]
    ) -> tuple[bytes, bytes]:
        """Return the answer before the request's id and after it; made anew when the time changes that it tells."""
        made = self._made.get(language)
        if made is None or made[:2] != (seconds, default_headers):
            problem = queue_full(seconds)
            problem.speak(language)
            reply = problem_reply(problem)
            lines = [*default_headers, *reply.headers, (b"content-length", b"%d" % len(reply.content))]
            head = b"".join([b"%s: %s\r\n" % line for line in lines])
            first, last = STATUS_LINE[TOO_MANY] + head + b"x-request-id: ", HEAD_END + reply.content
            made = self._made[language] = seconds, default_headers, first, last
        return made[2:]


def _addresses(service: Service, root_path: str) -> Iterator[tuple[bytes, Addressed]]:
    """Yield every address that puts texts into a queue, also as a proxy in front may leave it, and what it asks."""
    for route in TABLE:
        if not route.is_queued:
            continue
        names = list(service.models) if "{name}" in route.path else [None][: len(service.models)]
        for name in names:
            asked = Addressed(service.find(name), name, route.path)
            path = route.path if name is None else route.path.replace("{name}", name)
            for address in {path, root_path + path}:
                # One that is not ASCII comes with percent signs, and is read by the application.
                if address.isascii():
                    yield address.encode(), asked
