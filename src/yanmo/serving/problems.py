"""Every error a client can meet, as one table from code to status, and its RFC 9457 form; it knows no route.

A problem never holds the client's input, an exception's text or a path: only our own sentences, limits and key names.

Source: Nottingham, Wilde, Dalal 2023, "Problem Details for HTTP APIs", RFC 9457.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

__all__ = ["MEDIA_TYPE", "PROBLEMS", "STATUS_CODES", "Problem", "encode_problem"]

MEDIA_TYPE = "application/problem+json"

PROBLEMS: dict[str, tuple[HTTPStatus, str]] = {
    "invalid_json": (HTTPStatus.BAD_REQUEST, "The body is not valid JSON in UTF-8."),
    "wrong_type": (HTTPStatus.BAD_REQUEST, "A value has the wrong type."),
    "unknown_key": (HTTPStatus.BAD_REQUEST, "The body has an unknown key."),
    "duplicate_key": (HTTPStatus.BAD_REQUEST, "The body has a key twice."),
    "text_or_texts": (HTTPStatus.BAD_REQUEST, "The body must have one of 'text' and 'texts'."),
    "wrong_pair": (HTTPStatus.BAD_REQUEST, "First and second texts do not match."),
    "no_texts": (HTTPStatus.BAD_REQUEST, "The list of texts is empty."),
    "too_many_texts": (HTTPStatus.BAD_REQUEST, "There are too many texts."),
    "text_too_long": (HTTPStatus.BAD_REQUEST, "A text is too long."),
    "not_found": (HTTPStatus.NOT_FOUND, "There is no such route."),
    "method_not_allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "The route does not have this method."),
    "body_too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large."),
    "unsupported_media_type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON."),
    "queue_full": (HTTPStatus.TOO_MANY_REQUESTS, "The service has too much to do."),
    "internal_error": (HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed."),
    "not_ready": (HTTPStatus.SERVICE_UNAVAILABLE, "The service is not ready."),
}
STATUS_CODES: dict[int, str] = {404: "not_found", 405: "method_not_allowed"}


class ProblemBody(msgspec.Struct, frozen=True):
    """The answer to a request that failed.

    Attributes:
        type: An identifier of the kind of problem.
        title: What the kind means, always the same.
        status: The HTTP status.
        code: The stable name to program against: a key of ``PROBLEMS``.
        detail: What to change in this request.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A request that cannot be answered.

    Args:
        code: A key of ``PROBLEMS``.
        detail: What to change; only our own words.
        headers: Extra response headers, names in lower case.
    """

    def __init__(self, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(PROBLEMS[self.code][0])


def encode_problem(problem: Problem) -> bytes:
    """Return the body of a problem's response."""
    status, title = PROBLEMS[problem.code]
    return msgspec.json.encode(
        ProblemBody(f"urn:yanmo:problem:{problem.code}", title, int(status), problem.code, problem.detail)
    )
