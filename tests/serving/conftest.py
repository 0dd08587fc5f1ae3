"""Tiny Bundles, a server in a thread, and a client on a plain socket."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import http.client
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from msgspec import structs
from safetensors.numpy import save_file

import yanmo
from yanmo.answers.choices import Choices
from yanmo.artifacts import Bundle
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import write_golden
from yanmo.artifacts.dataset import Dataset
from yanmo.composing.composites import member_names, publish_composite
from yanmo.runtimes.composite import CascadeSettings
from yanmo.runtimes.predictor import open_bundle
from yanmo.serving.config import ServeConfig
from yanmo.serving.serve import Server, listen
from yanmo.serving.service import Service
from yanmo.tasks import get_task
from yanmo.text.inputs import Inputs
from yanmo.text.ngrams import NgramConfig, hash_column
from yanmo.text.pipeline import TextConfig
from yanmo.text.tfidf import fit_tfidf

JSON = {"content-type": "application/json"}


@dataclasses.dataclass
class Reply:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """One request a connection, so that no test depends on another's."""

    def __init__(self, port: int, server: Server) -> None:
        self.port = port
        self.server = server
        self.admin_port: int | None = None

    @property
    def service(self) -> Service:
        assert self.server.service is not None
        return self.server.service

    def call(self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        """Run a coroutine in the server's event loop and return what it returns."""
        loop = self.service.default.batcher.loop
        return asyncio.run_coroutine_threadsafe(function(*arguments), loop).result(20)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        return self.ask("GET", path)

    def predict(self, **values: Any) -> Reply:
        return self.ask("POST", "/predict", json.dumps(values).encode(), JSON)

    def pieces(self, **values: Any) -> list[str]:
        """Ask for a stream, and return the pieces of the text."""
        events = self.predict(stream=True, **values).content.decode().split("\n\n")
        found = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
        return [choice["text"] for event in found for choice in event["choices"]]

    def predict_bytes(self, body: bytes) -> Reply:
        return self.ask("POST", "/predict", body, JSON)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def wait_until_ready(self) -> None:
        _wait(lambda: self.get("/readyz").status == 200)


def _wait(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@contextlib.contextmanager
def _serving(*bundles: Bundle, ready: bool = True, **settings: Any) -> Iterator[Client]:
    """Serve Bundles in a thread of this process, on a real socket."""
    config = ServeConfig(**{"port": 0, "drain_seconds": 2, **settings})
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listen("127.0.0.1", 0)) for _ in range(1 + (config.admin_port is not None))]
        ports = [listener.getsockname()[1] for listener in listeners]
        server = Server(bundles, config, admin_port=ports[1] if len(ports) > 1 else None)
        client = Client(ports[0], server)
        client.admin_port = ports[-1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": listeners})
        thread.start()
        try:
            if ready:
                client.wait_until_ready()
            yield client
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def serving():
    """Serve Bundles in a thread: ``with serving(bundle, **settings) as client``."""
    return _serving


@pytest.fixture(scope="session")
def ask_json():
    """Post values as JSON: ``ask_json(client, path, **values)``."""

    def ask(client: Client, path: str, **values: Any) -> Reply:
        return client.ask("POST", path, json.dumps(values).encode(), JSON)

    return ask


@pytest.fixture(scope="module")
def chromium():
    """A real browser; while it is there, an event loop runs in this thread, and asyncio.run is refused."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Open a page of a service; at the end nothing was logged and nothing came from elsewhere."""
    pages = []

    def open_page(client, path="/", width=1200, scheme="light", locale="en-US"):
        context = chromium.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, locale=locale, accept_downloads=True
        )
        page = context.new_page()
        page.messages, page.strangers = [], []
        home = f"http://127.0.0.1:{client.port}"
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith((home, "data:", "blob:")) or page.strangers.append(request.url),
        )
        page.goto(f"{home}{path}")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.messages == page.strangers == []
        page.context.close()


CHAT = (
    "{% if messages[0].role == 'system' and not messages[0].content %}{{ raise_exception('empty') }}{% endif %}"
    "{% for one in messages %}{{ one.role }}: {{ one.content }}\n{% endfor %}assistant:"
)


@pytest.fixture(scope="session")
def talker_bundle(tmp_path_factory, decoder_folder, make_decoder_bundle):
    return make_decoder_bundle(decoder_folder, tmp_path_factory.mktemp("talker") / "talker", chat_template=CHAT)


@pytest.fixture(scope="session")
def wait():
    """Wait until a condition holds."""
    return _wait


@pytest.fixture(scope="session")
def served_bundles(bundles):
    """Every Bundle with a client of its running service; they serve all tests that leave no trace."""
    with contextlib.ExitStack() as stack:
        yield {name: (bundle, stack.enter_context(_serving(bundle))) for name, bundle in bundles.items()}


NGRAMS = NgramConfig(word_ngrams=(1, 2), char_ngrams=(1, 3))
LABELS = ["0", "1", "负面"]
TRAINING = ["很快，好吃", "太慢了", "great value", "arrived late and cold", "a b c"]


def _write_ngram(staging: Path, seed: int, num_labels: int) -> None:
    random = np.random.default_rng(seed)
    shapes = {
        "embedding": (1024, 8),
        "hidden.weight": (16, 8),
        "hidden.bias": (16,),
        "out.weight": (num_labels, 16),
        "out.bias": (num_labels,),
    }
    tensors = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    tensors["seen"] = np.full(512, 255, np.uint8)
    save_file(tensors, staging / "model.safetensors")
    settings = {"ngrams": NGRAMS.model_dump(mode="json"), "num_buckets": 1024}
    (staging / "ngram.json").write_bytes(msgspec.json.encode(settings))


def _write_linear(staging: Path, seed: int, num_labels: int) -> None:
    tfidf = fit_tfidf(hash_column(TRAINING, NGRAMS))
    random = np.random.default_rng(seed)
    coef_FC = random.normal(size=(len(tfidf.keys), num_labels)).astype(np.float32)
    tensors = {
        "keys": tfidf.keys,
        "idf": tfidf.idf,
        "coef": coef_FC,
        "intercept": np.zeros(num_labels, dtype=np.float32),
    }
    save_file(tensors, staging / "model.safetensors")
    settings = {"ngrams": NGRAMS.model_dump(mode="json"), "sublinear": tfidf.sublinear}
    (staging / "linear.json").write_bytes(msgspec.json.encode(settings))


WRITERS = {"ngram": _write_ngram, "linear": _write_linear}


def _publish(
    out: Path,
    *,
    task: str,
    model: str,
    texts: list[str],
    error: float = 0,
    seed: int = 1,
    info: dict[str, Any] | None = None,
    labels: list[str] = LABELS,
) -> Bundle:
    """Make a Bundle with the texts as golden examples, and the probabilities it gives plus an error."""
    asked = get_task(task)
    inputs = Inputs((texts, texts[::-1])[: len(asked.inputs)])
    evidence = Choices(np.zeros((0, len(labels)), dtype=np.float32), asked.link)
    if texts:
        silent = _publish(out.with_suffix(".silent"), task=task, model=model, texts=[], seed=seed, labels=labels)
        with open_bundle(silent) as predictor:
            found, _ = predictor.infer(inputs)
            evidence = structs.replace(found, values_MC=found.values_MC + np.float32(error))
    info = {
        **(info or {}),
        "format": model,
        "model": model,
        "max_length": 0,
        "text": TextConfig().model_dump(mode="json"),
    }
    with publish(out, Identity(kind="bundle", verb="train", task=task, labels=labels, info=info)) as staging:
        WRITERS[model](staging, seed, len(labels))
        write_golden(staging, asked.inputs, inputs, evidence)
    return Bundle.open(out)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory) -> dict[str, Bundle]:
    """One tiny Bundle of each kind of answer, by name."""
    folder = tmp_path_factory.mktemp("bundles")
    kinds = {
        "ngram": ("single_label", "ngram"),
        "linear": ("single_label", "linear"),
        "multi_label": ("multi_label", "ngram"),
        "text_pair": ("text_pair", "ngram"),
    }
    return {
        name: _publish(folder / name, task=task, model=model, texts=TRAINING) for name, (task, model) in kinds.items()
    }


@pytest.fixture(scope="session")
def cascade_texts() -> list[str]:
    """Texts that both stages of the cascade answer, and some that none is sure of."""
    return ["很快，好吃", "太慢了", "great", "😀 <b>ok</b>", "arrived late and cold", "a b c", "好"] * 3


@pytest.fixture(scope="session")
def cascade(bundles, cascade_texts, tmp_path_factory) -> Bundle:
    """A cascade of two Bundles, profiled on its texts."""
    members = [bundles["linear"], bundles["ngram"]]
    return _publish_cascade(tmp_path_factory.mktemp("cascade"), members, cascade_texts, sure=0.6, abstain=0.6)


@pytest.fixture(scope="session")
def multi_label_cascade(bundles, make_bundle, cascade_texts, tmp_path_factory) -> Bundle:
    """The same of two Bundles that give any number of labels."""
    folder = tmp_path_factory.mktemp("multi_label_cascade")
    members = [make_bundle(folder / "first", task="multi_label", model="linear"), bundles["multi_label"]]
    return _publish_cascade(folder, members, cascade_texts, sure=0.55, abstain=0.63)


def _publish_cascade(folder: Path, members: list[Bundle], texts: list[str], *, sure: float, abstain: float) -> Bundle:
    """Make a cascade whose first stage answers what it is sure of, and whose last one is silent below ``abstain``."""
    task = members[0].task
    label = [LABELS[:1]] if task == "multi_label" else LABELS[:1]
    identity = {"kind": "dataset", "verb": "prepare", "task": task, "labels": LABELS, "parents": {}}
    info = {"text": TextConfig().model_dump(mode="json")}
    with publish(folder / "data", Identity(**identity, info=info)) as staging:
        rows = {"id": map(str, range(len(texts))), "text": texts, "label": label * len(texts)}
        pl.DataFrame(rows).write_parquet(staging / "valid.parquet")
    settings = CascadeSettings(member_names(members), [[0, 1, 2]] * 2, [sure], abstain, [1.0, 2.0], {}, [])
    more = {"verb": "cascade", "model": "cascade of 2", "config": {}, "seed": 0, "scores": {"valid_accuracy": 0.9}}
    publish_composite(folder / "cascade", members, settings, Dataset.open(folder / "data"), **more)
    return Bundle.open(folder / "cascade")


@pytest.fixture(scope="session")
def make_bundle():
    """Make a tiny Bundle at a path."""
    return functools.partial(_publish, texts=TRAINING)


@pytest.fixture
def wrong_bundle(tmp_path) -> Bundle:
    """A Bundle whose golden examples came out otherwise when it was made."""
    return _publish(tmp_path / "wrong", task="single_label", model="ngram", texts=TRAINING, error=0.1)


TAGGED = [
    ("Anna went to Rome.", [[0, 4, "person"], [13, 17, "place"]]),
    ("Rome is far from Anna!", [[0, 4, "place"], [17, 21, "person"]]),
    ("小明去武汉。", [[0, 2, "person"], [3, 5, "place"]]),
    ("Nothing here, it is fine.", []),
]


@pytest.fixture(scope="session")
def taggers(serving, tmp_path_factory):
    """A service of two models that label units: names in texts, and words."""
    folder = tmp_path_factory.mktemp("taggers")
    rows = [{"text": f"{text} {place}", "label": spans} for place in range(12) for text, spans in TAGGED]
    (folder / "names.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = [f"小明 去 武汉 {place} 次" for place in range(40)]
    (folder / "words.txt").write_text("\n".join(words), encoding="utf-8")
    for name, values in (("names.jsonl", {"units": "tokens"}), ("words.txt", {"tagging": "segmented"})):
        data = yanmo.prepare(folder / name, out=folder / f"{name}-data", task="token_labels", **values)
        yanmo.train(data, model="window", out=folder / name.partition(".")[0], num_epochs=10)
    with serving(*(yanmo.Bundle.open(folder / name) for name in ("names", "words"))) as client:
        yield client
