"""The routes: bytes in, bytes out; it knows nothing about models, threads or sockets.

``POST /predict`` is a bare ASGI application: the body's bytes go to msgspec, the answer's bytes to the server, and no
request or response object stands between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

import msgspec
from msgspec import UNSET
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from yanmo.serving.batcher import QueueFullError
from yanmo.serving.problems import MEDIA_TYPE, STATUS_CODES, Problem, encode_problem
from yanmo.serving.schemas import Answer, Answers, Models, Request, decode_request
from yanmo.serving.service import Service

__all__ = ["create_app"]

logger = logging.getLogger(__name__)

JSON = "application/json"
JSON_HEADER = (b"content-type", JSON.encode())
RETRY_SECONDS = "1"
DRAIN_FACTOR = 8
ENCODER = msgspec.json.Encoder()


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole."""


def create_app(service: Service) -> Starlette:
    """Return the ASGI application of a service; its lifespan starts and stops the service."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    async def healthz(_: HttpRequest) -> Response:
        return Response(b'{"status":"alive"}', media_type=JSON)

    async def readyz(_: HttpRequest) -> Response:
        check_ready(service)
        return Response(b'{"status":"ready"}', media_type=JSON)

    async def models(_: HttpRequest) -> Response:
        return Response(ENCODER.encode(Models([service.describe()])), media_type=JSON)

    app = Starlette(
        routes=[
            Route("/predict", PredictRoute(service), methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/models", models),
        ],
        exception_handlers={Problem: _on_problem, HTTPException: _on_http_error, Exception: _on_failure},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


class PredictRoute:
    """``POST /predict`` as an ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong becomes a problem."""
        try:
            content = await self._predict(scope, receive)
        except ClientGoneError:
            return
        except Problem as problem:
            await _send_problem(send, problem)
        except asyncio.CancelledError:
            await _send_problem(send, Problem("not_ready", "The service is shutting down."))
        except Exception:
            logger.exception("A request failed.")
            await _send_problem(send, _failure())
        else:
            await _send(send, 200, content, [JSON_HEADER])

    async def _predict(self, scope: Scope, receive: Receive) -> bytes:
        headers = dict(scope["headers"])
        body = await read_body(headers, receive, self.service.config.max_body_bytes)
        check_media_type(headers)
        check_loaded(self.service)
        request = decode_request(body, self.service.limits)
        try:
            answers = await self.service.predict(request.texts)
        except QueueFullError:
            raise Problem(
                "queue_full", "Send the request again later.", headers={"retry-after": RETRY_SECONDS}
            ) from None
        return _encode(answers, request, self.service.name)


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, max_bytes: int) -> bytes:
    """Return a request's body.

    Of a body that is too large, up to ``DRAIN_FACTOR`` times the limit is read and dropped, so that an ordinary client
    comes to read the answer; memory stays within the limit.

    Args:
        headers: The request's headers, names in lower case.
        receive: The ASGI channel.
        max_bytes: The limit.

    Raises:
        Problem: The body is, or says it is, larger than the limit.
        ClientGoneError: The client went away.
    """
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or len(declared) > 18 or int(declared) > DRAIN_FACTOR * max_bytes:
        raise _too_large(max_bytes)
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size <= max_bytes:
            chunks.append(chunk)
        elif size > DRAIN_FACTOR * max_bytes:
            break
    if size > max_bytes:
        raise _too_large(max_bytes)
    return b"".join(chunks)


def check_media_type(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body that does not say it is plain JSON in UTF-8.

    Raises:
        Problem: As said.
    """
    media_type, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    if media_type.strip() != JSON.encode() or charset not in {b"", b"utf-8", b"utf8"}:
        raise Problem("unsupported_media_type", f"Send the header 'content-type: {JSON}' and UTF-8.")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Problem("unsupported_media_type", "Send the body without compression.")


def check_loaded(service: Service) -> None:
    """Refuse a request that comes before the model is loaded.

    Raises:
        Problem: As said.
    """
    if service.state == "starting":
        raise Problem("not_ready", "The model is being loaded.", headers={"retry-after": RETRY_SECONDS})


def check_ready(service: Service) -> None:
    """Refuse to say ready before the model is loaded and once the service is shutting down.

    Raises:
        Problem: As said.
    """
    check_loaded(service)
    if service.state == "draining":
        raise Problem("not_ready", "The service is shutting down.")


def _encode(answers: list[Answer], request: Request, name: str) -> bytes:
    if not request.return_probabilities:
        for answer in answers:
            answer.probabilities = UNSET
    if not request.is_single:
        return ENCODER.encode(Answers(answers, name))
    answers[0].model = name
    return ENCODER.encode(answers[0])


async def _send(send: Send, status: int, content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_problem(send: Send, problem: Problem) -> None:
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    await _send(send, problem.status, encode_problem(problem), [(b"content-type", MEDIA_TYPE.encode()), *headers])


def _respond(problem: Problem) -> Response:
    return Response(encode_problem(problem), problem.status, problem.headers, MEDIA_TYPE)


def _too_large(max_bytes: int) -> Problem:
    return Problem("body_too_large", f"At most {max_bytes} bytes are allowed.", headers={"connection": "close"})


def _failure() -> Problem:
    return Problem("internal_error", "The error is in the service's log.")


async def _on_problem(_: HttpRequest, error: Exception) -> Response:
    return _respond(error if isinstance(error, Problem) else _failure())


async def _on_http_error(_: HttpRequest, error: Exception) -> Response:
    """Answer what Starlette's router refuses: an unknown route or method."""
    code = STATUS_CODES.get(getattr(error, "status_code", 0))
    if code is None:
        return _respond(_failure())
    headers = {name.lower(): value for name, value in (getattr(error, "headers", None) or {}).items()}
    detail = (
        "The routes are: POST /predict, GET /healthz, GET /readyz, GET /models."
        if code == "not_found"
        else f"The methods are: {headers.get('allow', '')}."
    )
    return _respond(Problem(code, detail, headers=headers))


async def _on_failure(_: HttpRequest, error: Exception) -> Response:  # noqa: ARG001 - Starlette logs it
    return _respond(_failure())
