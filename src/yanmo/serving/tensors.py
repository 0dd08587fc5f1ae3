"""Tensors of the Open Inference Protocol: its wire types, texts out of them and bytes into them; it knows no model.

Source: KServe, "Open Inference Protocol", version 2, REST; Triton Inference Server, "Binary tensor data extension".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from yanmo.serving.problems import Problem

__all__ = [
    "InferBody",
    "InferOptions",
    "InferReply",
    "InputTensor",
    "LiveReply",
    "ModelMetadata",
    "OutputTensor",
    "ReadyReply",
    "ServerMetadata",
    "TensorMetadata",
    "TensorOptions",
    "WantedTensor",
    "read_texts",
    "write_bytes",
]

LENGTH = struct.Struct("<I")
"""Before each text of a binary tensor: its bytes."""


class TensorOptions(msgspec.Struct):
    """What is said about one tensor.

    Attributes:
        binary_data_size: Of an input: its data stand behind the JSON and have so many bytes.
        binary_data: Of an output: whether its data are to stand behind the JSON.
        labels: Of the probabilities: which label each of them is for.
    """

    binary_data_size: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    binary_data: bool | UnsetType = UNSET
    labels: list[str] | UnsetType = UNSET


class InputTensor(msgspec.Struct):
    """Texts.

    Attributes:
        name: text, or text_b for the second texts of pairs.
        datatype: BYTES.
        shape: The number of texts, perhaps with 1 behind it.
        data: The texts, or lists of one text.
        parameters: Whether the data stand behind the JSON.
    """

    name: str
    datatype: str
    shape: list[int]
    data: list[str | list[str]] | UnsetType = UNSET
    parameters: TensorOptions = msgspec.field(default_factory=TensorOptions)


class WantedTensor(msgspec.Struct):
    """An output that is wanted.

    Attributes:
        name: label, probability or probabilities.
        parameters: Whether its data are to stand behind the JSON.
    """

    name: str
    parameters: TensorOptions = msgspec.field(default_factory=TensorOptions)


class InferOptions(msgspec.Struct):
    """What is said about all tensors.

    Attributes:
        binary_data_output: Whether the data of all outputs are to stand behind the JSON.
    """

    binary_data_output: bool = False


class InferBody(msgspec.Struct):
    """What is asked in the Open Inference Protocol; keys that it does not know are passed over, as it says.

    Attributes:
        inputs: One tensor of texts, or two for pairs.
        outputs: Which are wanted; all of them by default.
        id: Comes back in the answer.
        parameters: About all tensors.
    """

    inputs: list[InputTensor]
    outputs: list[WantedTensor] | UnsetType = UNSET
    id: str | UnsetType = UNSET
    parameters: InferOptions = msgspec.field(default_factory=InferOptions)


class OutputTensor(msgspec.Struct):
    """One column of the answers.

    Attributes:
        name: label, probability or probabilities.
        datatype: BYTES or FP32.
        shape: The number of texts, and for the probabilities that of labels.
        data: In the order of the texts; the labels of multi-label tasks as JSON lists, an answer that abstained as "".
        parameters: Where the data stand, and the labels.
    """

    name: str
    datatype: str
    shape: list[int]
    data: Sequence[str | float] | UnsetType = UNSET
    parameters: TensorOptions | UnsetType = UNSET


class InferReply(msgspec.Struct):
    """The answers in the Open Inference Protocol.

    Attributes:
        model_name: The model's name.
        model_version: The digest of the Bundle which answered.
        outputs: The tensors.
        id: As it was sent.
    """

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str | UnsetType = UNSET


class TensorMetadata(msgspec.Struct, frozen=True):
    """One tensor of a model; a size of -1 is any."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True):
    """One model in the Open Inference Protocol.

    Attributes:
        versions: The digest of the Bundle which answers: the one version that there is.
    """

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(msgspec.Struct, frozen=True):
    """The service in the Open Inference Protocol."""

    name: str
    version: str
    extensions: list[str]


class LiveReply(msgspec.Struct, frozen=True):
    """Whether the process lives, in the Open Inference Protocol."""

    live: bool


class ReadyReply(msgspec.Struct, frozen=True):
    """Whether every model answers now, in the Open Inference Protocol."""

    ready: bool


def read_texts(tensor: InputTensor, own: memoryview) -> list[str]:
    """Return the texts of a tensor.

    Args:
        tensor: Without its bytes, if it has any.
        own: Its bytes.

    Raises:
        Problem: It is no tensor of texts.
    """
    if tensor.datatype != "BYTES":
        raise Problem("wrong_type", "The inputs must have the datatype BYTES.")
    if tensor.parameters.binary_data_size is not UNSET:
        texts = _read_bytes(own, tensor.parameters.binary_data_size)
    else:
        rows = tensor.data if isinstance(tensor.data, list) else []
        texts = [text for row in rows for text in ([row] if isinstance(row, str) else row)]
    # Of one dimension, or of more whose others are 1: one text a row.
    if not tensor.shape or tensor.shape[0] != len(texts) or math.prod(tensor.shape) != len(texts):
        raise Problem("wrong_type", "The shape of an input must be its number of texts.")
    return texts


def _read_bytes(own: memoryview, size: int) -> list[str]:
    texts, place = [], 0
    try:
        while place < size:
            (length,) = LENGTH.unpack_from(own, place)
            place += LENGTH.size + length
            texts.append(str(own[place - length : place], "utf-8"))
    except (struct.error, UnicodeDecodeError):
        place = -1
    # A slice ends quietly where the bytes do.
    if not place == size == len(own):
        raise Problem("wrong_type", "Binary texts must each have their length before them, in UTF-8, and all be there.")
    return texts


def write_bytes(tensor: OutputTensor) -> bytes:
    """Return the data of a tensor as they stand behind the JSON."""
    data = [] if tensor.data is UNSET else tensor.data
    if tensor.datatype == "FP32":
        return struct.pack(f"<{len(data)}f", *data)
    texts = [str(one).encode() for one in data]
    return b"".join(LENGTH.pack(len(text)) + text for text in texts)
