"""Vectors of texts over HTTP: the bodies that ask for them, and the answers; it knows no model and no queue.

::

    POST /embed           {"inputs": ["a", "b"]}                  [[0.1, …], [0.2, …]]
    POST /v1/embeddings   {"input": ["a", "b"], "model": "name"}  {"data": [{"embedding": [0.1, …], …}, …], …}
    POST /predict         {"text": "a"}                           {"vector": [0.1, …], …}

The first is asked and answered as by text-embeddings-inference, and by ``feature_extraction`` of the Hugging Face
client at ``/``; the second as by OpenAI's clients, which want base64 unless they are told otherwise.

Source: text-embeddings-inference, ``router/src/http/types.rs`` (EmbedRequest, OpenAICompatRequest); OpenAI, "Create
embeddings".
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta

from yanmo.answers.vectors import cut_vectors
from yanmo.arrays import FloatArray
from yanmo.serving.bodies import decode_bytes
from yanmo.serving.exchange import ENCODER, JSON, Reply
from yanmo.serving.problems import Problem
from yanmo.serving.requests import Limits, Request, check_column, decode_request
from yanmo.serving.schemas import Answer, PredictBody

__all__ = [
    "EmbedBody",
    "EmbeddedText",
    "EmbeddingsAnswer",
    "EmbeddingsBody",
    "EmbeddingsUsage",
    "decode_vectors",
    "request_of_embed",
    "request_of_embeddings",
]

JSON_HEADER = (b"content-type", JSON)
TRUNCATED_HEADER = b"x-num-truncated"
"""How many of the texts were cut, in answers whose form has no place for it."""
KEYS_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw])
FLOAT32 = np.dtype("<f4")

Dimensions = Annotated[int, Meta(ge=1, le=1_000_000)]


class EmbedBody(msgspec.Struct, forbid_unknown_fields=True):
    """What text-embeddings-inference is asked; null is the same as leaving a key out.

    Attributes:
        inputs: One text, or many.
        normalize: Whether vectors have length 1; by default as the Bundle has them.
        truncate: Whether a text may be longer than the model reads; by default it may.
        truncation_direction: Where a text is cut, which is at its right end; with Left one that would have to be cut is
            refused.
        dimensions: Only so many of the first dimensions.
        prompt_name: Models here have no prompts of their own.
    """

    inputs: str | list[str]
    normalize: bool | None = None
    truncate: bool | None = None
    truncation_direction: Literal["Right", "Left", "right", "left"] | None = None
    dimensions: Dimensions | None = None
    prompt_name: None = None


class EmbeddingsBody(msgspec.Struct, forbid_unknown_fields=True):
    """What OpenAI's clients ask.

    Attributes:
        input: One text, or many; tokens are refused, since every model has its own.
        model: Its name; by default the first that gives vectors.
        encoding_format: float: a list of numbers; base64: their bytes, 32 bits each, the lowest byte first.
        dimensions: Only so many of the first dimensions.
        user: Is not read.
    """

    input: str | list[str | int | list[int]]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Dimensions | None = None
    user: str | None = None


class EmbeddedText(msgspec.Struct, frozen=True):
    """The vector of one text.

    Attributes:
        index: Which text it is, from 0.
        embedding: A list of numbers, or their bytes as base64.
        object: What it is.
    """

    index: int
    embedding: list[float] | str
    object: str = "embedding"


class EmbeddingsUsage(msgspec.Struct, frozen=True):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(msgspec.Struct, frozen=True):
    """What OpenAI's clients are answered."""

    data: list[EmbeddedText]
    model: str
    usage: EmbeddingsUsage
    object: str = "list"


class _Wanted(msgspec.Struct, frozen=True):
    """What of the vectors is wanted."""

    dimensions: int | None
    normalize: bool | None


def decode_vectors(body: bytes, limits: Limits) -> Request:
    """Return the request that a body to ``/predict`` holds, of a model that gives vectors.

    Raises:
        Problem: It breaks a rule; the problem says which.
    """
    try:
        has_inputs = "inputs" in KEYS_DECODER.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        has_inputs = False
    # Which says what is wrong, where anything is.
    return request_of_embed(decode_bytes(body, EmbedBody), limits) if has_inputs else decode_request(body, limits)


def request_of_embed(body: EmbedBody, limits: Limits) -> Request:
    """Return the request of a body as text-embeddings-inference is asked.

    Raises:
        Problem: There are no texts, or too many, or too long ones.
    """
    wanted = _Wanted(body.dimensions, body.normalize)
    options = PredictBody(
        truncate=UNSET if body.truncate is None else body.truncate,
        truncation_direction=body.truncation_direction or UNSET,
    )
    return _request(body.inputs, "inputs", limits, options, functools.partial(_encode_plain, wanted=wanted))


def request_of_embeddings(body: EmbeddingsBody, limits: Limits) -> Request:
    """Return the request of a body as OpenAI's clients ask.

    Raises:
        Problem: There are no texts, or too many, or too long ones, or they are tokens.
    """
    if not isinstance(body.input, str) and any(not isinstance(one, str) for one in body.input):
        raise Problem("wrong_type", "'input' must be a string or a list of strings: every model has tokens of its own.")
    texts: Any = body.input
    encode = functools.partial(
        _encode_embeddings, wanted=_Wanted(body.dimensions, None), is_packed=body.encoding_format == "base64"
    )
    return _request(texts, "input", limits, PredictBody(), encode)


def _request(texts: str | list[str], key: str, limits: Limits, options: PredictBody, encode: Any) -> Request:
    is_single = isinstance(texts, str)
    column = check_column([texts] if isinstance(texts, str) else texts, key, limits)
    return Request(list(column), is_single, options, encode)


def _encode_plain(answers: list[Answer], request: Request, model: Any, digest: str, *, wanted: _Wanted) -> Reply:
    """Return a list of vectors, whether one text was asked or many.

    Raises:
        Problem: A text was cut, and that was not to be; or no such vectors can be given.
    """
    del digest
    options = request.options
    place = next((place for place, one in enumerate(answers) if one.truncated), None)
    if place is not None and (options.truncate is False or options.truncation_direction in ("Left", "left")):
        raise Problem(
            "text_too_long", "The model does not read all of text {place}, and it was not to be cut.", place=place
        )
    return Reply(ENCODER.encode(_vectors(answers, model, wanted).tolist()), _headers(answers))


def _encode_embeddings(
    answers: list[Answer], _: Request, model: Any, digest: str, *, wanted: _Wanted, is_packed: bool
) -> Reply:
    """Return what OpenAI's clients read."""
    del digest
    vectors_ND = _vectors(answers, model, wanted)
    rows = [base64.b64encode(row.tobytes()).decode() for row in vectors_ND] if is_packed else vectors_ND.tolist()
    num_tokens = sum(one.num_tokens for one in answers if isinstance(one.num_tokens, int))
    told = EmbeddingsAnswer(
        [EmbeddedText(index, row) for index, row in enumerate(rows)],
        model.name,
        EmbeddingsUsage(num_tokens, num_tokens),
    )
    return Reply(ENCODER.encode(told), _headers(answers))


def _vectors(answers: Sequence[Answer], model: Any, wanted: _Wanted) -> FloatArray:
    """Return the vectors that are wanted of those that the model gives.

    Raises:
        Problem: There are not so many dimensions, or their length is lost.
    """
    vectors_ND = np.array([one.vector for one in answers], dtype=FLOAT32)
    are_unit = bool(model.bundle.architecture["vectors"]["are_unit"])
    if wanted.normalize is False and are_unit:
        raise Problem("wrong_option", "The vectors of this model have length 1: leave 'normalize' out.")
    num_dimensions = vectors_ND.shape[1] if wanted.dimensions is None else wanted.dimensions
    if num_dimensions > vectors_ND.shape[1]:
        raise Problem("wrong_option", "'dimensions' must be at most {most}.", most=vectors_ND.shape[1])
    if num_dimensions == vectors_ND.shape[1] and are_unit:
        return vectors_ND
    return cut_vectors(vectors_ND, num_dimensions, are_unit=are_unit or bool(wanted.normalize))


def _headers(answers: Sequence[Answer]) -> list[tuple[bytes, bytes]]:
    return [JSON_HEADER, (TRUNCATED_HEADER, b"%d" % sum(one.truncated for one in answers))]
