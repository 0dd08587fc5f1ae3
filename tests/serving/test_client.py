"""The client against the running service, and against one that is full, gone or no service at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import yanmo
from yanmo.errors import ServiceError
from yanmo.runtimes.predictor import open_bundle

TEXTS = ["很快，好吃", "太慢了", "great"] * 200


def url(client):
    return f"http://127.0.0.1:{client.port}"


@pytest.mark.parametrize("name", ["ngram", "multi_label", "text_pair"])
def test_it_answers_like_the_predictor(served_bundles, name):
    bundle, service = served_bundles[name]
    items = TEXTS if name != "text_pair" else list(zip(TEXTS, TEXTS[::-1], strict=True))
    expected = open_bundle(bundle).predict(items)
    with yanmo.Client(url(service)) as client:
        answers = client.predict(items)
        assert [one.digest for one in client.models()] == [bundle.digest]

    async def ask():
        async with yanmo.AsyncClient(url(service), model=bundle.name) as asker:
            return await asker.predict(items), await asker.models()

    same, models = asyncio.run(ask())
    assert [one.name for one in models] == [bundle.name]
    for one, other, wanted in zip(answers, same, expected, strict=True):
        assert one.label == other.label == wanted.label
        assert one.probabilities == pytest.approx(wanted.probabilities, abs=1e-5)


def test_long_texts_are_asked_in_requests_that_fit_a_body(served_bundles):
    _, service = served_bundles["ngram"]
    with yanmo.Client(url(service)) as client:
        assert len(client.predict(["好" * 20_000] * 40)) == 40


class Counting(BaseHTTPRequestHandler):
    """Answers every text alike, and notes how many texts and characters came in a request."""

    requests: list[tuple[int, int]]

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = [*asked["texts"], *asked.get("texts_b", [])]
        self.requests.append((len(asked["texts"]), sum(map(len, texts))))
        answers = [{"prediction": "1", "probability": 0.9}] * len(asked["texts"])
        body = json.dumps({"predictions": answers, "model": "m", "digest": "d"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("texts", "requests"),
    [
        (["a"] * 256, [(256, 256)]),
        (["a"] * 257, [(256, 256), (1, 1)]),
        (["a" * 50_000] * 2, [(2, 100_000)]),
        (["a" * 50_000, "b" * 50_001, "c"], [(1, 50_000), (2, 50_002)]),
        (["a" * 100_001, "b"], [(1, 100_001), (1, 1)]),
        ([("a" * 30_000, "b" * 20_000)] * 3, [(2, 100_000), (1, 50_000)]),
        ([], []),
    ],
)
def test_a_request_holds_256_texts_and_100000_characters_and_no_more(counting, texts, requests):
    address, handler = counting
    with yanmo.Client(address) as client:
        assert len(client.predict(texts)) == len(texts)
    assert handler.requests == requests


def test_options_and_refusals_arrive(served_bundles):
    _, service = served_bundles["ngram"]
    with yanmo.Client(url(service)) as client:
        assert len(client.predict(["a"], top_k=1)[0].probabilities) == 1
        assert client.predict(["a"], threshold=1.0)[0].abstained
        with pytest.raises(ServiceError) as caught:
            client.predict(["a"], top_n=1)
        assert (caught.value.status, caught.value.code) == (400, "unknown_key")
    with (
        yanmo.Client(url(service), model="none") as client,
        pytest.raises(ServiceError, match="no such route or model"),
    ):
        client.predict(["a"])


class Busy(BaseHTTPRequestHandler):
    """Refuses twice, and says when to come again."""

    times: list[float]
    answer = b'{"predictions":[{"prediction":"1","probability":0.9}],"model":"m","digest":"d"}'

    def do_POST(self):
        self.times.append(time.monotonic())
        self.rfile.read(int(self.headers["content-length"]))
        is_full = len(self.times) <= 2
        self.send_response(429 if len(self.times) == 1 else 503 if is_full else 200)
        body = b'{"status":429,"code":"queue_full","title":"Full.","detail":""}' if is_full else self.answer
        self.send_header("content-length", str(len(body)))
        if len(self.times) == 1:
            self.send_header("retry-after", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def answering(handler):
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


@pytest.fixture
def busy():
    with answering(type("Handler", (Busy,), {"times": []})) as found:
        yield found


@pytest.fixture
def counting():
    with answering(type("Handler", (Counting,), {"requests": []})) as found:
        yield found


def predict_at_once(address, **keys):
    with yanmo.Client(address, **keys) as client:
        return client.predict(["a"])


def predict_awaited(address, **keys):
    async def ask():
        async with yanmo.AsyncClient(address, **keys) as client:
            return await client.predict(["a"])

    return asyncio.run(ask())


both_clients = pytest.mark.parametrize("predict", [predict_at_once, predict_awaited])


@both_clients
def test_it_waits_as_long_as_the_service_asks(busy, predict):
    address, handler = busy
    assert predict(address)[0].label == "1"
    assert len(handler.times) == 3
    assert handler.times[1] - handler.times[0] >= 1


@both_clients
def test_it_gives_up_when_its_patience_ends(busy, predict):
    address, handler = busy
    with pytest.raises(ServiceError) as caught:
        predict(address, patience_seconds=0.9)
    assert (caught.value.code, caught.value.retry_seconds) == ("queue_full", 1)
    assert len(handler.times) == 1, "the service asked it to wait for longer than it may"


@both_clients
@pytest.mark.parametrize(
    ("address", "reason"), [("http://127.0.0.1:1", "ConnectError"), ("ftp://127.0.0.1", "UnsupportedProtocol")]
)
def test_a_service_that_is_not_there_is_an_error_that_says_so(predict, address, reason):
    with pytest.raises(ServiceError, match=f"{address} does not answer: {reason}.") as caught:
        predict(address, patience_seconds=0.2)
    assert caught.value.code == "no_answer"
