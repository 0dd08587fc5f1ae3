"""The serve command: the sockets, the server, the signals; it knows nothing about JSON."""

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn

from yanmo.artifacts import Bundle
from yanmo.errors import ServingError
from yanmo.serving.access import Access
from yanmo.serving.app import App
from yanmo.serving.config import ServeConfig
from yanmo.serving.connection import Connection, ConnectionLimits, watch
from yanmo.serving.exchange import Receive, Scope, Send
from yanmo.serving.logs import log_as_json
from yanmo.serving.resting import RestRoom
from yanmo.serving.service import Service, name_models
from yanmo.serving.vetting import vet
from yanmo.serving.workers import is_computing
from yanmo.streams import release_output

__all__ = ["Server", "listen", "serve"]

logger = logging.getLogger(__name__)

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 30
LAST_CALL_SECONDS = 0.3
"""So long after the signal new connections are still accepted, each for one answer: what was on its way arrives."""


def serve(
    bundles: tuple[Bundle, ...],
    config: ServeConfig,
    *,
    when_ready: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Serve Bundles over HTTP: POST /predict.

    Runs until SIGTERM or SIGINT, answers what it has accepted, and returns. ``/readyz`` tells whether every model
    answers. SIGHUP opens the folders again and replaces the models that have changed.

    Args:
        bundles: The Bundles; ``POST /predict`` asks the first, ``POST /v1/models/{name}/predict`` any.
        config: Where to listen and what to accept.
        when_ready: Called once it answers, with the first Bundle's summary, the ``url`` and the names of all
            ``models``; ``--json`` prints that.

    Raises:
        ServingError: It cannot listen there, others reach it and there are no keys, two Bundles share a name, or
            there are not as many names as Bundles.
        ArtifactError: A Bundle has files besides those its manifest names, or does not give its golden answers on this
            machine.
    """
    names = name_models(bundles, config.name)
    for bundle in bundles:
        vet(bundle)
    # Before any socket: who may ask is settled, or the service does not listen.
    access = Access(config)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(config.host, config.port))
        listeners = [listener]
        if config.admin_port is not None:
            listeners.append(stack.enter_context(listen(config.host, config.admin_port)))
        url = _url(config.host, listener)

        def announce() -> None:
            first, more = bundles[0], len(bundles) - 1
            others = f" and {more} more" if more else ""
            told = "Serving %s (%s)%s on %s  POST /predict, playground: %s/, API: %s/docs"
            # One line, the first one: programs that start a service read the address from it.
            logger.info(told, names[0], first.digest[:12], others, url, url, url)
            if config.access_log:
                log_as_json()
            if when_ready is not None:
                when_ready({**first.summary(), "url": url, "models": names})

        server = Server(bundles, config, access, admin_port=_port(listeners[1:]), when_ready=announce)
        with _signals_end_quietly():
            server.run(sockets=listeners)
    if server.failure is not None:
        raise server.failure
    # Only in the main thread: a program that serves in another one is not ended with the service.
    if is_computing() and threading.current_thread() is threading.main_thread():
        _end_at_once()


class Server(uvicorn.Server):
    """Uvicorn's server around one service, which it starts, watches, reloads and drains."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        config: ServeConfig,
        access: Access | None = None,
        *,
        admin_port: int | None = None,
        when_ready: Callable[[], None] | None = None,
    ) -> None:
        self._bundles = bundles
        self._settings = config
        self._access = access or Access(config)
        self._admin_port = admin_port
        self._when_ready = when_ready
        self._tasks: list[asyncio.Task[None]] = []
        self._app: App | None = None
        self.service: Service | None = None
        super().__init__(self._uvicorn_config())

    @property
    def failure(self) -> BaseException | None:
        """Why the service could not start, if so."""
        return self.service.failure if self.service is not None else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to load the models and to listen."""
        loop = asyncio.get_running_loop()
        self.service = Service(self._bundles, self._settings, when_ready=self._when_ready)
        self._app = App(self.service, self._access, admin_port=self._admin_port)
        limits = ConnectionLimits(
            self._settings.receive_seconds,
            self._settings.receive_seconds,
            self._settings.max_connections,
            self.service.counters.add_refused,
            self._app.early_refusals(),
            RestRoom(loop),
        )
        # uvicorn makes every connection by calling this. The counters belong to the event loop, so it is set this late.
        self.config.http_protocol_class = functools.partial(Connection, limits=limits)  # type: ignore[assignment]
        await super().startup(sockets)
        self.service.start()
        self._tasks = [loop.create_task(watch(self.server_state.connections)), loop.create_task(self._refresh_keys())]
        # Elsewhere asyncio refuses to handle signals, and Windows has no such signal.
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self._reload)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end; called ten times a second."""
        return await super().on_tick(counter) or self.failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say not ready, take what is on its way, answer all that was accepted, cut the rest, and stop."""
        if self.service is None:
            return
        self.service.drain()
        # Every answer from here on asks its client to open no further request on the connection.
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        await asyncio.sleep(LAST_CALL_SECONDS)
        await super().shutdown(sockets)
        # The models end after the requests that need them; what is still connected has outlived its time.
        await self.service.stop()
        for task in self._tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def _reload(self) -> None:
        if self.service is not None:
            # Kept, since the event loop itself holds tasks by weak references only.
            self._tasks.append(asyncio.get_running_loop().create_task(self.service.reload_all()))

    async def _refresh_keys(self) -> None:
        while self._access.keys is not None:
            await asyncio.sleep(1)
            self._access.keys.refresh()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is not None:
            await self._app(scope, receive, send)

    def _uvicorn_config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._answer,
            interface="asgi3",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            # What the service does not need is off: each is called, or sent, for every request.
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=self._settings.drain_seconds,
        )


def _end_at_once() -> None:
    """End the process with exit code 0: Python would wait for a thread that hangs, or die of it."""
    logger.warning("A model still computes, for nobody; the process ends without it.")
    # os._exit flushes nothing by itself.
    logging.shutdown()
    release_output()
    os._exit(0)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    Raises:
        ServingError: It cannot.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # Of an IPv6 address two more parts are left out: a flow and a scope, which no option here sets.
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


def _port(listeners: Sequence[socket.socket]) -> int | None:
    return int(listeners[0].getsockname()[1]) if listeners else None


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
