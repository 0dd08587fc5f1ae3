"""What the service and its worker processes say to each other: length and MessagePack; it knows no model.

The service sends one ``LoadOrder``, then a ``TextBatch`` at a time. The worker beats, says once that it is ready or why
not, and returns each batch answered or raised. Of answers that are told while they are written it says what they have
grown by, and the service says which of them are given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from yanmo.serving.answering import BatchAnswer
from yanmo.serving.schemas import Text

__all__ = [
    "BEAT_SECONDS",
    "Beat",
    "FromWorker",
    "GivenUp",
    "Grown",
    "LoadOrder",
    "Raised",
    "Ready",
    "Refused",
    "TextBatch",
    "ToWorker",
    "encode_frame",
    "read_frame",
]

BEAT_SECONDS = 0.25
ENCODER = msgspec.msgpack.Encoder()


class LoadOrder(msgspec.Struct):
    """Which Bundle a worker loads, by its path and digest, the options as JSON, and whether it logs as JSON."""

    path: str
    digest: str
    options: str
    logs_json: bool


class TextBatch(msgspec.Struct, tag=True):
    """Texts to answer, and the places of those whose answers are told while they are written."""

    texts: Sequence[Text]
    growing: Sequence[int] = ()


class GivenUp(msgspec.Struct, tag=True):
    """Nobody waits any more for the answer at this place of the batch in hand."""

    place: int


class Grown(msgspec.Struct, tag=True):
    """The answer at a place of the batch in hand has grown by a text."""

    place: int
    text: str


class Beat(msgspec.Struct, tag=True):
    """The worker is alive, and its threads have computed so many of the processor's seconds."""

    computed: float


class Ready(msgspec.Struct, tag=True):
    """The Bundle is loaded and gives its golden answers."""


class Refused(msgspec.Struct, tag=True):
    """The Bundle cannot be served, and the worker ends."""

    message: str
    hint: str | None


class Raised(msgspec.Struct, tag=True):
    """The model raised an exception of this kind."""

    kind: str


FromWorker: TypeAlias = Beat | Ready | Refused | Raised | Grown | BatchAnswer
ToWorker: TypeAlias = TextBatch | GivenUp


def encode_frame(message: msgspec.Struct) -> bytes:
    """Return a message with its length before it, in 4 bytes."""
    content = ENCODER.encode(message)
    return len(content).to_bytes(4, "big") + content


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next message's bytes.

    Raises:
        EOFError: The other side has gone.
    """
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
