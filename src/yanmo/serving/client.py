"""A client of the service, for Python programs: typed answers, and patience where the service asks for it.

It asks again after 429, 503 and lost connections, when the service says so (``Retry-After``) or with growing pauses,
until its time is up. Predicting changes nothing, so asking twice harms nobody.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Self, TypeVar

import msgspec
from msgspec import UnsetType

from yanmo.answers.answered import Span
from yanmo.answers.arcs import Word
from yanmo.answers.gaps import Gap, GapWord
from yanmo.errors import MissingExtraError, ServiceError
from yanmo.protocols import Prediction
from yanmo.serving.schemas import Answer, Answers, Entity, FilledGap, Models, ServedModel, Text

try:
    import httpx
    from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception, stop_before_delay
    from tenacity.wait import wait_random_exponential
except ModuleNotFoundError as error:
    raise MissingExtraError("yanmo.Client", package=error.name or "httpx", extra="client") from error

__all__ = ["AsyncClient", "Client"]

HttpT = TypeVar("HttpT", httpx.Client, httpx.AsyncClient)

MODELS_PATH = "/v1/models"
PATIENT_STATUSES = {429, 503}
# At random, so that clients which were refused together do not come back together.
BACKOFF = wait_random_exponential(multiplier=0.1, max=5)
MAX_TEXTS = 256
MAX_CHARACTERS = 100_000
"""The most characters of one request; however they are written in JSON, they are less than a body may hold."""


class _Problem(msgspec.Struct):
    status: int
    code: str
    title: str
    detail: str


class _Asking(Generic[HttpT]):
    """Whom a client asks, and how patiently. How it sends is its own matter: at once, or awaited."""

    _http_class: type[HttpT]

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        model: str | None = None,
        patience_seconds: float = 30,
        timeout_seconds: float = 15,
    ) -> None:
        self._http: HttpT = self._http_class(base_url=url, headers=_headers(api_key), timeout=timeout_seconds)
        self._path = "/predict" if model is None else f"/v1/models/{model}/predict"
        self._patience = _patience(patience_seconds)


class Client(_Asking[httpx.Client]):
    """A service that answers; use it as a context manager, or call ``close``.

    Args:
        url: Of the service, such as ``http://127.0.0.1:8000``.
        api_key: If the service wants one.
        model: A model's name; without it the service's first.
        patience_seconds: For so long it asks again; where the service asks it to wait longer, it gives up at once.
        timeout_seconds: One request may take so long.
    """

    _http_class = httpx.Client

    def predict(self, texts: Sequence[Text], **options: Any) -> list[Prediction]:
        """Return one answer a text.

        Args:
            texts: N texts, or pairs of them; more than the service takes at once are asked in parts.
            **options: ``top_k``, ``threshold``, ``truncate``.

        Raises:
            ServiceError: The service refuses the request, or does not answer in time.
        """
        return [one for body in _bodies(texts, options) for one in _read_answers(self._ask("POST", self._path, body))]

    def models(self) -> list[ServedModel]:
        """Return what the service serves.

        Raises:
            ServiceError: As ``predict``.
        """
        return _read_models(self._ask("GET", MODELS_PATH))

    def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        with _as_service_error(self._http.base_url):
            return Retrying(**self._patience)(lambda: _read(self._http.request(method, path, content=body)))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Asking[httpx.AsyncClient]):
    """The same for asynchronous programs; the arguments are those of :class:`Client`."""

    _http_class = httpx.AsyncClient

    async def predict(self, texts: Sequence[Text], **options: Any) -> list[Prediction]:
        """Return one answer a text; as :meth:`Client.predict`."""
        bodies = _bodies(texts, options)
        return [one for body in bodies for one in _read_answers(await self._ask("POST", self._path, body))]

    async def models(self) -> list[ServedModel]:
        """Return what the service serves."""
        return _read_models(await self._ask("GET", MODELS_PATH))

    async def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        async def send() -> bytes:
            return _read(await self._http.request(method, path, content=body))

        with _as_service_error(self._http.base_url):
            return await AsyncRetrying(**self._patience)(send)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _headers(api_key: str | None) -> dict[str, str]:
    # httpx is given bytes and does not know that they are JSON.
    key = {"authorization": f"Bearer {api_key}"} if api_key is not None else {}
    return {"content-type": "application/json", **key}


def _bodies(texts: Sequence[Text], options: Mapping[str, Any]) -> list[bytes]:
    bodies = []
    for part in _parts(texts):
        if isinstance(part[0], str):
            columns: dict[str, Any] = {"texts": part}
        else:
            columns = {"texts": [one[0] for one in part], "texts_b": [one[1] for one in part]}
        bodies.append(msgspec.json.encode({**columns, **options}))
    return bodies


def _parts(texts: Sequence[Text]) -> Iterator[list[Text]]:
    """Yield as many texts at a time as one request may hold, at least one."""
    part: list[Text] = []
    num_characters = 0
    for text in texts:
        size = len(text) if isinstance(text, str) else sum(map(len, text))
        # A text larger than a request may be is sent all the same: the service says what is wrong with it.
        if part and (len(part) == MAX_TEXTS or num_characters + size > MAX_CHARACTERS):
            yield part
            part, num_characters = [], 0
        part.append(text)
        num_characters += size
    if part:
        yield part


def _read(response: httpx.Response) -> bytes:
    """Return a good answer's bytes.

    Raises:
        ServiceError: It is a problem.
    """
    if response.status_code == 200:
        return response.content
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(response.status_code, "not_yanmo", "The answer is not that of the service.", "")
    retry_after = response.headers.get("retry-after", "")
    raise ServiceError(
        f"{problem.title} {problem.detail}".strip(),
        status=problem.status,
        code=problem.code,
        # HTTP also allows a date there; the service sends seconds.
        retry_seconds=float(retry_after) if retry_after.isdigit() else None,
    )


def _read_answers(content: bytes) -> list[Prediction]:
    return [_prediction(answer) for answer in msgspec.json.decode(content, type=Answers).predictions]


def _read_models(content: bytes) -> list[ServedModel]:
    return msgspec.json.decode(content, type=Models).models


def _span(entity: Entity) -> Span:
    source = "model" if isinstance(entity.source, UnsetType) else entity.source
    return Span(entity.start, entity.end, entity.entity_group, entity.score, entity.word, source)


def _gap(gap: FilledGap) -> Gap:
    return Gap(gap.start, gap.end, tuple([GapWord(one.token_str, one.token, one.score) for one in gap.words]))


def _prediction(answer: Answer) -> Prediction:
    probabilities = answer.probabilities if isinstance(answer.probabilities, Mapping) else {}
    if isinstance(answer.candidates, Sequence):
        probabilities = {one.text: math.exp(one.log_likelihood) for one in answer.candidates}
    if isinstance(answer.gaps, Sequence) and isinstance(answer.log_likelihood, float):
        probabilities = {"log_likelihood": answer.log_likelihood}
    holes = answer.gaps if isinstance(answer.gaps, Sequence) else ()
    gaps = tuple([_gap(one) for one in holes])
    stage = answer.stage if isinstance(answer.stage, int) else None
    found = answer.entities if isinstance(answer.entities, Sequence) else ()
    spans = tuple([_span(one) for one in found])
    given = answer.words if isinstance(answer.words, Sequence) else ()
    words = tuple([Word(one.start, one.end, one.head, one.relation, one.score, one.word) for one in given])
    return Prediction(
        answer.prediction, answer.probability, probabilities, stage, answer.abstained is True, spans, words, gaps=gaps
    )


def _patience(seconds: float) -> dict[str, Any]:
    return {
        "retry": retry_if_exception(_is_passing),
        "wait": _pause_seconds,
        # It looks at the pause to come: one that would end after the time is up is not begun.
        "stop": stop_before_delay(seconds),
        "reraise": True,
    }


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, ServiceError):
        return error.status in PATIENT_STATUSES
    # A wrong scheme in the URL stays wrong however often it is tried.
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)


def _pause_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_seconds if isinstance(error, ServiceError) else None
    return asked if asked is not None else BACKOFF(state)


@contextmanager
def _as_service_error(url: object) -> Iterator[None]:
    """Say of a connection that stays lost that the service does not answer.

    Raises:
        ServiceError: As said.
    """
    try:
        yield
    except httpx.TransportError as error:
        raise ServiceError(
            f"{url} does not answer: {type(error).__name__}.", status=0, code="no_answer", retry_seconds=None
        ) from error
