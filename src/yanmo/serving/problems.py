"""Every error a client can meet, as one table from code to status, and its RFC 9457 form; it knows no route.

A problem never holds the client's input, an exception's text or a path: only our own sentences, limits and key names.

Source: Nottingham, Wilde, Dalal 2023, "Problem Details for HTTP APIs", RFC 9457; text-embeddings-inference,
``router/src/lib.rs`` (ErrorResponse, ErrorType).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from yanmo.translations import Language, translate

__all__ = ["MEDIA_TYPE", "PROBLEMS", "Problem", "ProblemBody", "encode_problem", "raw_response"]

MEDIA_TYPE = "application/problem+json"

PROBLEMS: dict[str, tuple[HTTPStatus, str]] = {
    "bad_http": (HTTPStatus.BAD_REQUEST, "The request is not valid HTTP/1.1."),
    "invalid_json": (HTTPStatus.BAD_REQUEST, "The body is not valid JSON in UTF-8."),
    "wrong_type": (HTTPStatus.BAD_REQUEST, "A value has the wrong type."),
    "unknown_key": (HTTPStatus.BAD_REQUEST, "The body has an unknown key."),
    "duplicate_key": (HTTPStatus.BAD_REQUEST, "The body has a key twice."),
    "text_or_texts": (HTTPStatus.BAD_REQUEST, "The body must have one of 'text', 'texts' and 'inputs'."),
    "wrong_option": (HTTPStatus.BAD_REQUEST, "The body has an option that does not go with the rest of it."),
    "wrong_pair": (HTTPStatus.BAD_REQUEST, "First and second texts do not match."),
    "no_texts": (HTTPStatus.BAD_REQUEST, "The list of texts is empty."),
    "too_many_texts": (HTTPStatus.BAD_REQUEST, "There are too many texts."),
    "text_too_long": (HTTPStatus.BAD_REQUEST, "A text is too long."),
    "wrong_model": (HTTPStatus.BAD_REQUEST, "The model does not do this."),
    "prompt_too_long": (HTTPStatus.BAD_REQUEST, "The prompt is longer than the model reads."),
    "wrong_grammar": (HTTPStatus.BAD_REQUEST, "No text can have the form that is asked."),
    "bundle_refused": (HTTPStatus.BAD_REQUEST, "The Bundle cannot be served."),
    "no_key": (HTTPStatus.UNAUTHORIZED, "An API key is needed."),
    "wrong_key": (HTTPStatus.UNAUTHORIZED, "The API key is not known."),
    "not_allowed": (HTTPStatus.FORBIDDEN, "The API key does not open this route."),
    "wrong_origin": (HTTPStatus.FORBIDDEN, "The page that asks comes from elsewhere."),
    "not_found": (HTTPStatus.NOT_FOUND, "There is no such route or model."),
    "method_not_allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "The route does not have this method."),
    "too_slow": (HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time."),
    "reload_in_progress": (HTTPStatus.CONFLICT, "The model is being replaced."),
    "body_too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large."),
    "too_much_text": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is more than the queue holds."),
    "url_too_long": (HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long."),
    "unsupported_media_type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON."),
    "wrong_host": (HTTPStatus.MISDIRECTED_REQUEST, "The service does not answer under this name."),
    "queue_full": (HTTPStatus.TOO_MANY_REQUESTS, "The service has too much to do."),
    "quota_exceeded": (HTTPStatus.TOO_MANY_REQUESTS, "The API key has used up its quota."),
    "too_many_connections": (HTTPStatus.TOO_MANY_REQUESTS, "The service has too many connections."),
    "headers_too_large": (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large."),
    "internal_error": (HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed."),
    "not_ready": (HTTPStatus.SERVICE_UNAVAILABLE, "The service is not ready."),
    "worker_lost": (HTTPStatus.SERVICE_UNAVAILABLE, "The worker that had the request was lost."),
    "deadline_exceeded": (HTTPStatus.GATEWAY_TIMEOUT, "The request's deadline has passed."),
}
ERROR_TYPES = {HTTPStatus.TOO_MANY_REQUESTS: "Overloaded", HTTPStatus.SERVICE_UNAVAILABLE: "Unhealthy"}
"""Of text-embeddings-inference by status; what else is refused is Validation, what fails Backend."""


class ProblemBody(msgspec.Struct, frozen=True):
    """The answer to a request that failed.

    Attributes:
        type: An identifier of the kind of problem.
        title: What the kind means, in the language of the answer.
        status: The HTTP status.
        code: The stable name to program against: a key of ``PROBLEMS``.
        detail: What to change in this request.
        error: The detail once more, under the name that the clients of other services read.
        error_type: The kind of problem in the words of text-embeddings-inference.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    error: str
    error_type: str


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A request that cannot be answered.

    Args:
        code: A key of ``PROBLEMS``.
        sentence: What to change; only our own words, with ``{names}`` for values, as the catalogue has it.
        headers: Extra response headers, names in lower case.
        **values: What the names stand for.

    Attributes:
        language: In which its sentences are told.
    """

    def __init__(self, code: str, sentence: str, *, headers: Mapping[str, str] | None = None, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.headers = dict(headers or {})
        self.language: Language = "en"
        self._sentence, self._values = sentence, values

    @property
    def title(self) -> str:
        """What this kind of problem means."""
        return translate(PROBLEMS[self.code][1], self.language)

    @property
    def detail(self) -> str:
        """What to change in this request."""
        return translate(self._sentence, self.language, **self._values)

    def speak(self, language: Language) -> None:
        """Tell it in another language, which the answer's headers say."""
        self.language = language
        self.headers |= {"content-language": language, "vary": "accept-language"}

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(PROBLEMS[self.code][0])


def encode_problem(problem: Problem) -> bytes:
    """Return the body of a problem's response."""
    status, _ = PROBLEMS[problem.code]
    return msgspec.json.encode(
        ProblemBody(
            f"urn:yanmo:problem:{problem.code}",
            problem.title,
            int(status),
            problem.code,
            problem.detail,
            problem.detail,
            _error_type(problem.code, status),
        )
    )


def _error_type(code: str, status: HTTPStatus) -> str:
    """Return a kind of problem in the words of text-embeddings-inference."""
    if code == "no_texts":
        return "Empty"
    return ERROR_TYPES.get(status, "Validation" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "Backend")


def raw_response(problem: Problem) -> bytes:
    """Return a whole HTTP response, for a connection that is closed before its request reaches a route."""
    body = encode_problem(problem)
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        "cache-control": "no-store",
        **problem.headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n{lines}\r\n".encode() + body
