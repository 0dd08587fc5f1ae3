"""An answer that is sent as it grows, by server-sent events; and problems as OpenAI's clients read them.

It knows bytes, and no model.

Source: WHATWG, "HTML Standard", section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from yanmo.serving.exchange import ENCODER, JSON, ClientGoneError, Reply, Send
from yanmo.serving.problems import PROBLEMS, Problem
from yanmo.serving.writing.schemas import WritingErrorBody

__all__ = ["DONE", "StreamReply", "encode_event", "writing_problem_reply"]

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"
TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
"""OpenAI's kinds of errors by status; of the others those below 500 are invalid_request_error."""
CLIENT_GONE = 499


class StreamReply(Reply):
    """An answer whose length nobody knows yet.

    Args:
        events: What is sent; it ends what it stands for when it is closed.
    """

    __slots__ = ("_events",)

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        # Proxies such as nginx keep answers back to make larger ones of them, unless they are told.
        super().__init__(b"", [*headers, (b"x-accel-buffering", b"no")])
        self._events = events

    async def send(self, send: Send) -> None:
        """Send the events as they come."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        last = b""
        try:
            async for event in self._events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except ClientGoneError:
            self.status = CLIENT_GONE
        except Problem as problem:
            last = encode_event(_error_body(problem))
        # uvicorn cancels what is not whole when its time of draining is over; the client is told so.
        except asyncio.CancelledError:
            last = encode_event(_error_body(Problem("not_ready", "The service is shutting down.")))
        # The answer has begun, so nobody behind can tell the client any more.
        except Exception:
            logger.exception("A text could not be written to its end.")
            last = encode_event(_error_body(Problem("internal_error", "The service's log says more.")))
        await send({"type": "http.response.body", "body": last})


def encode_event(value: object) -> bytes:
    """Return a value as one event."""
    return b"data: %s\n\n" % ENCODER.encode(value)


def writing_problem_reply(problem: Problem) -> Reply:
    """Return the answer that says what is wrong, as OpenAI's clients read it."""
    headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    return Reply(ENCODER.encode(_error_body(problem)), [(b"content-type", JSON), *headers], problem.status)


def _error_body(problem: Problem) -> WritingErrorBody:
    status, _ = PROBLEMS[problem.code]
    kind = TYPES.get(int(status), "invalid_request_error" if status < 500 else "server_error")
    return WritingErrorBody(
        {"message": f"{problem.title} {problem.detail}", "type": kind, "param": None, "code": problem.code}
    )
