"""One request and its answer, as the routes see them: bytes and headers; it knows no route and no model."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from yanmo.serving.connection import Connection
from yanmo.serving.problems import MEDIA_TYPE, Problem, encode_problem
from yanmo.translations import Language, preferred_language

if TYPE_CHECKING:
    from yanmo.serving.keys import ApiKey
    from yanmo.serving.service import Service

__all__ = [
    "ENCODER",
    "JSON",
    "ClientGoneError",
    "Observed",
    "Observer",
    "Receive",
    "Reply",
    "RequestIds",
    "RouteCall",
    "Scope",
    "Send",
    "json_reply",
    "problem_reply",
]

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]

ENCODER = msgspec.json.Encoder()
JSON = b"application/json"
REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}$")


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole or its answer was there."""


class RouteCall:
    """One request.

    Attributes:
        service: Who answers.
        headers: Names in lower case.
        name: The model's name in the path, or None.
        version: The digest that the model must have, in the path, or None.
        request_id: The client's own, or a new one.
        key: The API key that opened the route, or None.
        connection: Where it came in.
        route_path: Of the route in the table; none before it is found.
        allowing: Headers that let the page of another origin read the answer.
        refuse: From what is wrong to the answer that says so.
    """

    __slots__ = (
        *("_receive", "allowing", "connection", "headers", "key", "name", "refuse", "request_id", "route_path"),
        *("service", "version"),
    )

    def __init__(self, service: Service, scope: Scope, receive: Receive, ids: RequestIds) -> None:
        self.service = service
        # Of equal names the last one stays; the application refuses those that must not be there twice.
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.name: str | None = None
        self.version: str | None = None
        self.request_id = ids.of(self.headers)
        self.key: ApiKey | None = None
        self.connection: Connection = scope["extensions"]["yanmo.connection"]
        self._receive = receive
        self.route_path = "none"
        self.allowing: list[tuple[bytes, bytes]] = []
        self.refuse: Callable[[Problem], Reply] = problem_reply

    @property
    def language(self) -> Language:
        """The language that the client reads, or the service's own."""
        accepted = self.headers.get(b"accept-language", b"").decode("latin-1")
        return preferred_language(accepted, self.service.config.language)

    async def read_body(self, max_bytes: int) -> bytes:
        """Return the body.

        Of one that is too large the rest is dropped as it arrives, after the answer: memory stays within the limit.

        Raises:
            Problem: The body is, or says it is, larger than the limit.
            ClientGoneError: The client went away.
        """
        declared = self.headers.get(b"content-length", b"0")
        # 18 digits fit into 64 bits; int() itself would refuse thousands, with an error of its own.
        if not declared.isdigit() or len(declared) > 18 or int(declared) > max_bytes:
            raise self._too_large(max_bytes)
        chunks, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk = message["body"]
            more = message["more_body"]
            size += len(chunk)
            if size > max_bytes:
                raise self._too_large(max_bytes)
            chunks.append(chunk)
        # Nearly every body is one chunk, which is not copied.
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def deadline_seconds(self, longest: float) -> float:
        """Return how long the answer may take: what the client allows, and no more than the service does.

        Raises:
            Problem: The client does not say a number.
        """
        wanted = self.headers.get(b"x-timeout-ms")
        if wanted is None:
            return longest
        # Nine digits are eleven days; Python refuses to read more than 4300 of them, with an error of its own.
        if not wanted.isdigit() or len(wanted) > 9 or int(wanted) == 0:
            raise Problem("bad_http", "The header x-timeout-ms must be a whole number of milliseconds, at least 1.")
        return min(longest, int(wanted) / 1e3)

    def _too_large(self, max_bytes: int) -> Problem:
        # Who waits for leave to send the body will not send it, and what comes next could be taken for its beginning.
        headers = {"connection": "close"} if b"expect" in self.headers else None
        return Problem("body_too_large", "At most {number} bytes are allowed.", headers=headers, number=max_bytes)

    async def read_json(self, max_bytes: int) -> bytes:
        """Return a body that says it is plain JSON in UTF-8.

        Raises:
            Problem: It is too large, or says it is something else.
            ClientGoneError: The client went away.
        """
        body = await self.read_body(max_bytes)
        given = self.headers.get(b"content-type", b"")
        # What nearly every client sends is compared as a whole, and only the rest is taken apart.
        if given != JSON:
            media_type, _, parameters = given.lower().partition(b";")
            charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
            if media_type.strip() != JSON or charset not in {b"", b"utf-8", b"utf8"}:
                raise Problem("unsupported_media_type", "Send the header 'content-type: application/json' and UTF-8.")
        if self.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem("unsupported_media_type", "Send the body without compression.")
        return body


class Observed(Protocol):
    """What is written down of a request."""

    @property
    def service(self) -> Service:
        """Who answered."""
        ...

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Names in lower case."""
        ...

    @property
    def name(self) -> str | None:
        """The model's name in the path."""
        ...

    @property
    def request_id(self) -> bytes:
        """The client's own, or a new one."""
        ...

    @property
    def key(self) -> ApiKey | None:
        """The API key that opened the route."""
        ...


class Observer(Protocol):
    """Writes down what happened."""

    def write(self, call: Observed, route: str, status: int, seconds: float) -> None:
        """Take one request that has ended."""
        ...


class RequestIds:
    """The ids of requests: the client's own, where it sends a good one."""

    def __init__(self) -> None:
        # A random prefix and a number: unique among all runs, and cheaper than randomness for every request.
        self._prefix = secrets.token_hex(4).encode()
        self._numbers = itertools.count(1)

    def of(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Return the id of a request."""
        wanted = headers.get(b"x-request-id")
        if wanted is not None and REQUEST_ID.match(wanted):
            return wanted
        return b"%s-%x" % (self._prefix, next(self._numbers))


class Reply:
    """An answer: status, body and headers."""

    __slots__ = ("content", "headers", "status")

    def __init__(self, content: bytes, headers: list[tuple[bytes, bytes]], status: int = 200) -> None:
        self.content = content
        self.headers = headers
        self.status = status

    async def send(self, send: Send) -> None:
        """Send it."""
        self.headers.append((b"content-length", b"%d" % len(self.content)))
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.content})


def json_reply(value: object) -> Reply:
    """Return an answer that holds a value as JSON."""
    return Reply(ENCODER.encode(value), [(b"content-type", JSON), (b"cache-control", b"no-store")])


def problem_reply(problem: Problem) -> Reply:
    """Return the answer that says what is wrong."""
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    return Reply(encode_problem(problem), [(b"content-type", MEDIA_TYPE.encode()), *headers], problem.status)
