"""The serve command: the socket, the server, the signals; it knows nothing about JSON."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from yanmo.artifacts import Bundle
from yanmo.errors import ServingError
from yanmo.serving.app import create_app
from yanmo.serving.config import ServeConfig
from yanmo.serving.service import Service

__all__ = ["Server", "listen", "serve"]

logger = logging.getLogger(__name__)

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 30


def serve(bundle: Bundle, config: ServeConfig, *, when_ready: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Serve a Bundle over HTTP: POST /predict.

    Runs until SIGTERM or SIGINT, answers what it has accepted, and returns. ``/readyz`` tells whether the model is
    loaded and its golden examples came out right.

    Args:
        bundle: The Bundle.
        config: Where to listen and what to accept.
        when_ready: Called once it answers, with the Bundle's summary and the ``url``; ``--json`` prints that.

    Raises:
        ServingError: It cannot listen there.
        ArtifactError: The Bundle does not give its golden answers on this machine.
    """
    with listen(config.host, config.port) as listener:
        url = _url(config.host, listener)

        def announce() -> None:
            logger.info("Serving %s (%s) on %s  POST /predict", bundle.name, bundle.digest[:12], url)
            if when_ready is not None:
                when_ready({**bundle.summary(), "url": url})

        service = Service(bundle, config, when_ready=announce)
        with _signals_end_quietly():
            Server(service).run(sockets=[listener])
    if service.failure is not None:
        raise service.failure


class Server(uvicorn.Server):
    """Uvicorn's server, which ends when the service has failed and tells it when it begins to drain."""

    def __init__(self, service: Service) -> None:
        super().__init__(_server_config(service))
        self._service = service

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end; called ten times a second."""
        return await super().on_tick(counter) or self._service.failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain and stop."""
        self._service.drain()
        await super().shutdown(sockets)


def _server_config(service: Service) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(service),
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=service.config.drain_seconds,
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        ServingError: It cannot.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise ServingError(
            f"The host '{host}' is not an address of this machine.", hint="Use 127.0.0.1, or 0.0.0.0 for all addresses."
        ) from error
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise ServingError(
            f"Cannot listen on {host} port {port}: {reason}.",
            hint="Choose another --port (0 takes a free one) or --host.",
        ) from error


def _url(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


@contextlib.contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """Make SIGTERM and SIGINT a good end: uvicorn raises them again once it has drained, and here nothing follows."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
