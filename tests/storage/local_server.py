"""What servers of these tests have in common: they listen on this machine, and answer with a status and bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answering(BaseHTTPRequestHandler):
    """Answers one connection; ``kept`` is what its server has."""

    protocol_version = "HTTP/1.1"

    @property
    def kept(self) -> Any:
        """What the server was begun with."""
        return self.server.kept  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None: ...

    def send(self, status: int, body: bytes, **headers: str) -> None:
        """Answer; whoever asks for the head alone gets no body."""
        self.send_response(status)
        for name, value in {**headers, "Content_Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(handler: type[Answering], kept: Any) -> Iterator[str]:
    """Let a server answer in the block; give its host and port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.kept = kept  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
