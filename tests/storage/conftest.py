"""A real S3 server, in which faults can be asked for, with a bucket, and a cache of its own for each test."""

from __future__ import annotations

import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from yanmo.artifacts.uploads import upload
from yanmo.integrations.object_storage import open_bucket
from yanmo.verbs.train import train

sys.path.insert(0, str(Path(__file__).parent))
KEY = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "a-secret-of-somebody", "AWS_REGION": "us-east-1"}


@dataclass
class Faults:
    """What the server does to the next requests.

    Attributes:
        busy: So many are throttled.
        cut: So many answers with a body end in the middle of it.
        seen: Method and path of all requests.
    """

    busy: int = 0
    cut: int = 0
    seen: list[str] = field(default_factory=list)

    def around(self, app: Any) -> Any:
        """Return the server with these faults."""

        def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            self.seen.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            if self.busy:
                self.busy -= 1
                start("503 Slow Down", [("Content-Type", "application/xml")])
                return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
            if self.cut and environ["REQUEST_METHOD"] == "GET" and "list-type" not in environ["QUERY_STRING"]:
                body = b"".join(app(environ, start))
                if len(body) > 100:
                    self.cut -= 1
                    # The head has promised more, so whoever reads knows that this is not the end.
                    return [body[: len(body) // 2]]
                return [body]
            return app(environ, start)

        return answer


class S3:
    """The server.

    Attributes:
        faults: Of the next requests.
        url: Where it listens.
    """

    def __init__(self, url: str, faults: Faults) -> None:
        self.url, self.faults = url, faults

    def put(self, path: str, content: bytes) -> None:
        """Write an object as another program would."""
        import obstore.store

        obstore.put(obstore.store.from_url("s3://bucket", client_options={"allow_http": True}), path, content)

    def names(self) -> set[str]:
        """Return the paths of all objects."""
        return {one.path for one in open_bucket("s3://bucket")[0].list("")}

    def post(self, path: str, data: bytes = b"") -> None:
        """Ask the server about itself."""
        head = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.url}/moto-api/{path}", data, head, method="POST")
        urllib.request.urlopen(request).close()


@pytest.fixture(scope="session")
def server() -> Iterator[S3]:
    """A server of this process."""
    pytest.importorskip("obstore", reason="the extra obstore is not installed: make test-extras")
    pytest.importorskip("moto", reason="the extra moto is not installed: make test-extras")
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log_request(self, code: Any = "-", size: Any = "-") -> None: ...

    faults = Faults()
    app = faults.around(DomainDispatcherApplication(create_backend_app))
    found = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield S3(f"http://127.0.0.1:{found.server_port}", faults)
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def s3(server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server with an empty bucket, and an empty cache of copies on this machine."""
    for name, value in {**KEY, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server.faults.busy = server.faults.cut = 0
    server.post("reset")
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/bucket", method="PUT")).close()
    server.faults.seen.clear()
    return server


@pytest.fixture(scope="session")
def model(make_words: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data`` and a ``bundle`` that was trained on it."""
    folder = tmp_path_factory.mktemp("storage")
    make_words(folder / "data", ["city", "fruit", "tool"])
    train(folder / "data", model="linear", out=folder / "bundle")
    return folder


@pytest.fixture
def stored(s3: S3, model: Path) -> S3:
    """The server with the Bundle at ``s3://bucket/models/bundle`` and 60 rows in two files at ``s3://bucket/texts``."""
    upload(model / "bundle", "s3://bucket/models/bundle", replace=False)
    for number in range(2):
        rows = "".join(f"a text of rain and rice {row}\n" for row in range(30 * number, 30 * number + 30))
        s3.put(f"texts/{number}.csv", f"text\n{rows}".encode())
    s3.put("texts/_SUCCESS", b"")
    s3.faults.seen.clear()
    return s3
