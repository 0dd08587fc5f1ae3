"""A request of more than a batch: its parts, the others' turns between them, and its end before its time."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from yanmo.serving.answering import Answerer

TEXTS = ["aaaaaaaaaa", "bbbb", "bbbbb", "cccccccccc", "d" * 25, "", "e"]
PARTS = [["aaaaaaaaaa"], ["bbbb", "bbbbb"], ["cccccccccc"], ["d" * 25], ["", "e"]]


class Gate:
    """Lets a batch pass that does not hold the word; remembers all batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[list[str]] = []
        self.held = "aaaaaaaaaa"
        self.opened = threading.Event()
        plain = Answerer.answer

        def answer(answerer, texts):
            self.batches.append(list(texts))
            assert self.held not in texts or self.opened.wait(20)
            outcome = plain(answerer, texts)
            outcome.score_seconds = 1.0
            return outcome

        monkeypatch.setattr(Answerer, "answer", answer)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def times(reply):
    return {name: float(ms) for name, ms in (one.split(";dur=") for one in reply.headers["server-timing"].split(", "))}


def test_others_have_their_turn_between_the_parts(bundles, serving, gate, wait):
    with serving(bundles["ngram"], max_batch_tokens=10) as client, ThreadPoolExecutor(2) as pool:
        gate.batches.clear()
        large = pool.submit(client.predict, texts=TEXTS)
        wait(lambda: gate.batches)
        small = pool.submit(client.predict, text="small")
        wait(lambda: client.service.default.batcher.num_waiting == 1)
        gate.opened.set()
        assert small.result().status == large.result().status == 200
        assert gate.batches == [PARTS[0], ["small"], *PARTS[1:]]
        assert times(large.result())["inference"] == 5000
        assert times(small.result())["inference"] == 1000
    with serving(bundles["ngram"]) as client:
        whole = client.predict(texts=TEXTS).json
    assert large.result().json["digest"] == whole["digest"]
    for got, expected in zip(large.result().json["predictions"], whole["predictions"], strict=True):
        assert got["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)


def test_the_parts_after_the_deadline_are_not_computed(bundles, serving, gate):
    gate.held = "bbbb"
    with serving(bundles["ngram"], max_batch_tokens=10) as client:
        headers = {"content-type": "application/json", "x-timeout-ms": "300"}
        reply = client.ask("POST", "/predict", json.dumps({"texts": TEXTS}).encode(), headers)
        assert (reply.status, reply.json["code"]) == (504, "deadline_exceeded")
        gate.opened.set()
        assert client.predict(text="after").status == 200
    assert gate.batches[-2:] == [PARTS[1], ["after"]]


def test_the_parts_after_the_client_has_left_are_not_computed(bundles, serving, gate, wait):
    with serving(bundles["ngram"], max_batch_tokens=10) as client:
        with client.connect() as connection:
            body = json.dumps({"texts": TEXTS}).encode()
            head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            wait(lambda: PARTS[0] in gate.batches)
        wait(lambda: client.service.counters.requests["/predict", 499] == 1)
        gate.opened.set()
        assert client.predict(text="after").status == 200
    assert gate.batches[-2:] == [PARTS[0], ["after"]]


def test_more_than_the_queue_holds_is_refused_at_the_door(bundles, serving, gate):
    with serving(bundles["ngram"], max_batch_tokens=10, max_queue_tokens=50) as client:
        gate.batches.clear()
        reply = client.predict(texts=TEXTS)
        assert (reply.status, reply.json["code"]) == (413, "too_much_text")
    assert gate.batches == []
