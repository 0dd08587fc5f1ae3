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

import msgspec

from yanmo.artifacts.bundle import Bundle
from yanmo.counted import counted
from yanmo.errors import ArtifactError, YanmoError
from yanmo.serving.answering import Answerer
from yanmo.serving.config import ModelOptions
from yanmo.serving.frames import BEAT_SECONDS, Beat, LoadOrder, Raised, Ready, Refused, TextBatch, encode_frame
from yanmo.serving.logs import log_as_json

__all__ = ["serve_batches"]

logger = logging.getLogger(__name__)


class MessageSocket:
    """The socket to the service; whole messages from several threads."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._file = self._socket.makefile("rb")
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
        head = self._file.read(4)
        content = self._file.read(int.from_bytes(head, "big")) if len(head) == 4 else b""
        if not content:
            os._exit(0)
        return content


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
    decoder = msgspec.msgpack.Decoder(TextBatch)
    while True:
        texts = decoder.decode(line.receive()).texts
        try:
            answer = answerer.answer(texts)
        except Exception as error:
            logger.exception("The model failed at a batch of %s.", counted(len(texts), "text"))
            line.send(Raised(type(error).__name__))
        else:
            line.send(answer)


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
