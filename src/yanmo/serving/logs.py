"""Structured logs: one JSON object a line on the standard error; never a text, a key or a header's value."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from yanmo.serving.exchange import Observed

__all__ = ["AccessLog", "JsonFormatter", "log_as_json"]


class AccessLine(msgspec.Struct, frozen=True):
    """One request in the access log."""

    time: float
    request_id: str
    route: str
    status: int
    milliseconds: float
    model: str | None
    key: str | None


class AccessLog:
    """Writes one line a request."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def write(self, call: Observed, route: str, status: int, seconds: float) -> None:
        """Write the line of a request."""
        label = call.key.label if call.key is not None else None
        # A name of the client's own invention is not written down.
        name = call.name if call.name in {*call.service.models, *call.service.writers} else None
        line = AccessLine(
            round(time.time(), 3), call.request_id.decode(), route, status, round(seconds * 1e3, 3), name, label
        )
        with contextlib.suppress(OSError, ValueError):  # a log that cannot be written must end no connection
            sys.stderr.write(f"{self._encoder.encode(line).decode()}\n")


class JsonFormatter(logging.Formatter):
    """A log record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


def log_as_json() -> None:
    """Write every line of the log as JSON from now on, as those of the access log are."""
    # Adds a handler only where the program has none.
    logging.basicConfig()
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())
