"""The Open Inference Protocol (KServe v2, Triton): texts as tensors of bytes, labels as tensors; it knows no queue.

A tensor's data stand in the JSON, or as bytes behind it, which the header ``Inference-Header-Content-Length`` tells.

Source: KServe, "Open Inference Protocol", version 2, REST; Triton Inference Server, "Binary tensor data extension".
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import msgspec
from msgspec import UNSET

from yanmo.serving.exchange import ENCODER, JSON, Reply, RouteCall, json_reply
from yanmo.serving.model import Model
from yanmo.serving.predict import ask_model
from yanmo.serving.problems import Problem
from yanmo.serving.requests import Limits, Request, check_column, check_unique_keys
from yanmo.serving.schemas import Answer, PredictBody, Text
from yanmo.serving.tensors import (
    InferBody,
    InferReply,
    LiveReply,
    ModelMetadata,
    OutputTensor,
    ReadyReply,
    ServerMetadata,
    TensorMetadata,
    TensorOptions,
    WantedTensor,
    read_texts,
    write_bytes,
)

__all__ = ["decode_infer", "infer", "is_live", "is_ready", "model_is_ready", "model_metadata", "server_metadata"]

COLUMNS = ("text", "text_b")
OUTPUTS = ("label", "probability", "probabilities")
HEADER_LENGTH = b"inference-header-content-length"
MEDIA_TYPES = (b"", JSON, b"application/octet-stream")
DECODER = msgspec.json.Decoder(InferBody)


async def infer(call: RouteCall) -> Reply:
    """Answer tensors of texts.

    Raises:
        Problem: The request breaks a rule, or cannot be answered now.
        ClientGoneError: Nobody waits for the answer any more.
    """
    given = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    # Triton's client says nothing of its bodies.
    if given not in MEDIA_TYPES or b"content-encoding" in call.headers:
        raise Problem("unsupported_media_type", "Send JSON, or JSON and bytes, without compression.")
    body = await call.read_body(call.service.config.max_body_bytes)
    header_length = call.headers.get(HEADER_LENGTH, b"%d" % len(body))
    if not header_length.isdigit() or len(header_length) > 18 or int(header_length) > len(body):
        raise Problem("bad_http", "The header inference-header-content-length must be the length of the JSON in bytes.")
    size = int(header_length)
    return await ask_model(call, body[:size], functools.partial(decode_infer, behind=memoryview(body)[size:]))


async def is_live(_: RouteCall) -> Reply:
    """Say that the process lives."""
    return json_reply(LiveReply(True))


async def is_ready(call: RouteCall) -> Reply:
    """Say whether every model answers now."""
    await call.service.check_ready()
    return json_reply(ReadyReply(True))


async def model_is_ready(call: RouteCall) -> Reply:
    """Say whether a model is here and answers now."""
    call.service.find(call.name, call.version)
    return await is_ready(call)


async def server_metadata(_: RouteCall) -> Reply:
    """Introduce the service."""
    return json_reply(ServerMetadata("yanmo", version("yanmo"), ["binary_tensor_data"]))


async def model_metadata(call: RouteCall) -> Reply:
    """Introduce a model."""
    model = call.service.find(call.name, call.version)
    columns = COLUMNS[: model.limits.num_columns]
    outputs = [("label", "BYTES", [-1]), ("probability", "FP32", [-1])]
    outputs.append(("probabilities", "FP32", [-1, len(model.bundle.labels)]))
    return json_reply(
        ModelMetadata(
            model.name,
            [model.bundle.digest],
            f"yanmo_{model.bundle.format}",
            [TensorMetadata(name, "BYTES", [-1]) for name in columns],
            [TensorMetadata(*one) for one in outputs],
        )
    )


def decode_infer(body: bytes, limits: Limits, *, behind: memoryview) -> Request:
    """Return the request that JSON, and the bytes behind it, hold.

    Args:
        body: The JSON, in UTF-8.
        limits: What it may hold.
        behind: The bytes.

    Raises:
        Problem: It breaks a rule; the problem says which.
    """
    if limits.head == "vectors":
        raise Problem("wrong_model", "It gives vectors: ask POST /embed.")
    try:
        parsed = DECODER.decode(body)
    except msgspec.ValidationError:
        raise Problem("wrong_type", "The body must be a request of the Open Inference Protocol: see /docs.") from None
    except (ValueError, RecursionError):
        raise Problem("invalid_json", "Send one JSON object in UTF-8, without a byte order mark.") from None
    check_unique_keys(body)
    if parsed.outputs is not UNSET and any(one.name not in OUTPUTS for one in parsed.outputs):
        raise Problem("wrong_option", "The outputs are: {names}.", names=", ".join(OUTPUTS))
    found: dict[str, list[str]] = {}
    for tensor in parsed.inputs:
        size = tensor.parameters.binary_data_size
        own, behind = (behind[:0], behind) if size is UNSET else (behind[:size], behind[size:])
        found[tensor.name] = read_texts(tensor, own)
    names = COLUMNS[: limits.num_columns]
    if sorted(found) != sorted(names) or len(found) != len(parsed.inputs):
        raise Problem("wrong_pair", "This model reads the inputs: {names}.", names=", ".join(names))
    if behind:
        raise Problem("wrong_type", "There are bytes behind the JSON that belong to no input.")
    columns = [check_column(found[name], name, limits) for name in names]
    if len({len(column) for column in columns}) > 1:
        raise Problem("wrong_pair", "'text' and 'text_b' must have the same length.")
    texts: list[Text] = list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))
    return Request(texts, is_single=False, options=PredictBody(), encode=functools.partial(_encode, parsed=parsed))


def _encode(answers: Sequence[Answer], _: Request, model: Model, digest: str, *, parsed: InferBody) -> Reply:
    """Return the answers as tensors, their data in the JSON or behind it."""
    wanted = parsed.outputs
    if wanted is UNSET or not wanted:
        wanted = [WantedTensor(name) for name in OUTPUTS]
    tensors, behind = [], []
    for one in wanted:
        tensor = FIND[one.name](answers)
        is_binary = one.parameters.binary_data
        if parsed.parameters.binary_data_output if is_binary is UNSET else is_binary:
            content = write_bytes(tensor)
            behind.append(content)
            options = tensor.parameters if isinstance(tensor.parameters, TensorOptions) else TensorOptions()
            options.binary_data_size = len(content)
            tensor.data, tensor.parameters = UNSET, options
        tensors.append(tensor)
    head = ENCODER.encode(InferReply(model.name, digest, tensors, parsed.id))
    if not behind:
        return Reply(head, [(b"content-type", JSON)])
    headers = [(b"content-type", b"application/octet-stream"), (HEADER_LENGTH, b"%d" % len(head))]
    return Reply(b"".join([head, *behind]), headers)


def _label(answers: Sequence[Answer]) -> OutputTensor:
    found = [one.prediction for one in answers]
    data = [one if isinstance(one, str) else "" if one is None else ENCODER.encode(one).decode() for one in found]
    return OutputTensor("label", "BYTES", [len(data)], data)


def _probability(answers: Sequence[Answer]) -> OutputTensor:
    return OutputTensor("probability", "FP32", [len(answers)], [one.probability for one in answers])


def _probabilities(answers: Sequence[Answer]) -> OutputTensor:
    rows = [one.probabilities if isinstance(one.probabilities, Mapping) else {} for one in answers]
    labels = list(rows[0])
    data = [share for row in rows for share in row.values()]
    return OutputTensor("probabilities", "FP32", [len(rows), len(labels)], data, TensorOptions(labels=labels))


FIND: dict[str, Callable[[Sequence[Answer]], OutputTensor]] = dict(
    zip(OUTPUTS, (_label, _probability, _probabilities), strict=True)
)
