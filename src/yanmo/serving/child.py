"""The worker process: ``python -m yanmo.serving.child DESCRIPTOR``; it loads one Bundle and answers until told to end.

It ends by itself when the service has gone; the signals that tell the service to end do not reach it.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence

import msgspec

from yanmo.artifacts.bundle import Bundle
from yanmo.counted import counted
from yanmo.errors import ArtifactError, YanmoError
from yanmo.serving.answering import Answerer
from yanmo.serving.config import ModelOptions
from yanmo.serving.frames import (
    BEAT_SECONDS,
    Beat,
    GivenUp,
    Grown,
    LoadOrder,
    Raised,
    Ready,
    Refused,
    ToWorker,
    encode_frame,
)
from yanmo.serving.logs import log_as_json

__all__ = ["BatchWatcher", "MessageSocket", "serve_batches"]

logger = logging.getLogger(__name__)
DECODER = msgspec.msgpack.Decoder(ToWorker)


class MessageSocket:
    """The socket to the service; whole messages from several threads."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()

    def send(self, message: msgspec.Struct) -> None:
        """Send a message, or end where nobody listens any more."""
        try:
            with self._lock:
                self._socket.sendall(encode_frame(message))
        # The service has gone. Not sys.exit: it would end this thread alone, or wait for those of a model.
        except OSError:
            os._exit(0)

    def receive(self) -> bytes:
        """Return the next message's bytes, or end where nobody sends any more."""
        # Without a buffer of this process, so that the socket itself tells whether there is more.
        head = self._socket.recv(4, socket.MSG_WAITALL)
        content = self._socket.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL) if len(head) == 4 else b""
        if not content:
            os._exit(0)
        return content

    def has_more(self) -> bool:
        """Return whether another message has come, or nobody sends any more."""
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True


def serve_batches(descriptor: int) -> None:
    """Load the Bundle that the service names, and answer its batches."""
    line = MessageSocket(descriptor)
    # Before the Bundle is loaded, which may take minutes in which the service must know that this lives.
    threading.Thread(target=_beat, args=(line,), daemon=True).start()
    job = msgspec.msgpack.decode(line.receive(), type=LoadOrder)
    if job.logs_json:
        log_as_json()
    try:
        answerer = _load(job)
    except YanmoError as error:
        line.send(Refused(error.message, error.hint))
        return
    except Exception as error:
        logger.exception("The Bundle cannot be loaded.")
        line.send(Refused(f"{job.path} cannot be served: {error}.", "Make the Bundle again."))
        return
    line.send(Ready())
    while True:
        batch = DECODER.decode(line.receive())
        # It may come when the batch has just been answered.
        if isinstance(batch, GivenUp):
            continue
        asked = (batch.texts, BatchWatcher(line, batch.growing)) if batch.growing else (batch.texts,)
        try:
            answer = answerer.answer(*asked)
        except Exception as error:
            logger.exception("The model failed at a batch of %s.", counted(len(batch.texts), "text"))
            line.send(Raised(type(error).__name__))
        else:
            line.send(answer)


class BatchWatcher:
    """The AnswerWatcher protocol: tells the service what answers of a batch have grown by."""

    def __init__(self, line: MessageSocket, growing: Sequence[int]) -> None:
        self._line = line
        self._given_up: set[int] = set()
        self.rows = frozenset(growing)

    def grow(self, row: int, text: str) -> bool:
        """Tell what an answer has grown by, and return whether anybody waits for more."""
        if text:
            self._line.send(Grown(row, text))
        # While a batch is in hand the service sends nothing else.
        while self._line.has_more():
            found = DECODER.decode(self._line.receive())
            if isinstance(found, GivenUp):
                self._given_up.add(found.place)
        return row not in self._given_up


def _load(job: LoadOrder) -> Answerer:
    bundle = Bundle.open(job.path)
    if bundle.digest != job.digest:
        raise ArtifactError(f"{job.path} was changed while it was loaded.", hint="Try again.")
    return Answerer(bundle, ModelOptions.model_validate_json(job.options))


def _beat(line: MessageSocket) -> None:
    while True:
        line.send(Beat(time.process_time()))
        time.sleep(BEAT_SECONDS)


if __name__ == "__main__":
    serve_batches(int(sys.argv[1]))
