"""Deadlines, clients that leave, and what is refused at the door."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from yanmo.serving.answering import Answerer

HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


class Brake:
    """Holds every batch while it is on; remembers what the model was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.released = threading.Event()
        self.released.set()
        plain = Answerer.answer

        def answer(answerer, texts):
            self.texts.extend(texts)
            assert self.released.wait(20)
            return plain(answerer, texts)

        monkeypatch.setattr(Answerer, "answer", answer)


@pytest.fixture
def brake(monkeypatch):
    brake = Brake(monkeypatch)
    yield brake
    brake.released.set()


def post(client, body: bytes, **headers: str):
    return client.ask("POST", "/predict", body, {"content-type": "application/json", **headers})


def test_a_request_whose_deadline_passes_in_the_queue_gets_504_and_is_never_computed(bundles, serving, brake, wait):
    with serving(bundles["ngram"], deadline_seconds=5) as client, ThreadPoolExecutor(2) as pool:
        brake.released.clear()
        working = pool.submit(client.predict, text="first")
        wait(lambda: "first" in brake.texts)
        begin = time.monotonic()
        late = post(client, b'{"text":"late"}', **{"x-timeout-ms": "200"})
        assert 0.15 < time.monotonic() - begin < 2
        assert (late.status, late.json["code"]) == (504, "deadline_exceeded")
        assert client.service.default.batcher.num_waiting_tokens == 0
        brake.released.set()
        assert working.result().status == 200
        assert client.predict(text="after").status == 200
    assert "late" not in brake.texts
    assert "after" in brake.texts


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "9" * 30, ""])
def test_a_deadline_that_is_no_number_of_milliseconds_gets_400(served_bundles, value):
    _, client = served_bundles["ngram"]
    assert post(client, b'{"text":"a"}', **{"x-timeout-ms": value}).status == 400


def test_what_a_client_that_left_had_asked_is_never_computed(bundles, serving, brake, wait):
    with serving(bundles["ngram"]) as client, ThreadPoolExecutor(1) as pool:
        brake.released.clear()
        working = pool.submit(client.predict, text="first")
        wait(lambda: "first" in brake.texts)
        batcher = client.service.default.batcher
        with client.connect() as connection:
            body = b'{"text":"gone"}'
            connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
            wait(lambda: batcher.num_waiting == 1)
        wait(lambda: batcher.num_waiting == batcher.num_waiting_tokens == 0)
        brake.released.set()
        assert working.result().status == 200
        assert client.predict(text="after").status == 200
    assert "gone" not in brake.texts


def test_a_request_over_the_whole_queue_is_refused_at_the_door(bundles, serving):
    with serving(bundles["ngram"], max_queue_tokens=100) as client:
        reply = client.predict(texts=["a" * 60, "b" * 60])
        assert (reply.status, reply.json["code"]) == (413, "too_much_text")
        assert client.predict(texts=["a" * 60, "b" * 40]).status == 200


def test_a_full_queue_refuses_at_once_with_the_time_to_come_again(bundles, serving, brake, wait):
    with serving(bundles["ngram"], max_queue_tokens=10) as client, ThreadPoolExecutor(2) as pool:
        brake.released.clear()
        working = pool.submit(client.predict, text="first")
        wait(lambda: "first" in brake.texts)
        waiting = pool.submit(client.predict, text="0123456789")
        wait(lambda: client.service.default.batcher.num_waiting == 1)
        refused = []
        for _ in range(20):
            begin = time.perf_counter()
            reply = client.predict(text="x")
            refused.append(time.perf_counter() - begin)
            assert (reply.status, reply.json["code"]) == (429, "queue_full")
            assert int(reply.headers["retry-after"]) >= 1
        assert client.service.counters.refused["queue_full"] == 20
        brake.released.set()
        assert working.result().status == waiting.result().status == 200
    assert sorted(refused)[10] < 0.05


def test_options_choose_what_the_answer_holds(served_bundles):
    bundle, client = served_bundles["ngram"]
    whole = client.predict(text="很快").json
    best = client.predict(text="很快", top_k=2).json["probabilities"]
    assert best == dict(sorted(whole["probabilities"].items(), key=lambda one: -one[1])[:2])
    sure = client.predict(text="很快", threshold=whole["probability"] / 2).json
    assert (sure["prediction"], sure["abstained"]) == (whole["prediction"], False)
    unsure = client.predict(texts=["很快"], threshold=1.0).json["predictions"][0]
    assert (unsure["prediction"], unsure["abstained"]) == (None, True)
    _, client = served_bundles["multi_label"]
    shares = client.predict(text="很快").json["probabilities"]
    assert client.predict(text="很快", threshold=0.0).json["prediction"] == bundle.labels
    middle = sorted(shares.values())[1]
    chosen = client.predict(text="很快", threshold=middle, return_probabilities=False).json
    assert chosen["prediction"] == [label for label, share in shares.items() if share >= middle]


def test_several_models_answer_by_name(served_bundles, bundles, serving):
    with serving(bundles["ngram"], bundles["text_pair"]) as client:
        assert [one["name"] for one in client.get("/v1/models").json["models"]] == ["ngram", "text_pair"]
        asked = {"ngram": {"text": "a"}, "text_pair": {"text": "a", "text_b": "b"}}
        for name, body in asked.items():
            reply = client.ask("POST", f"/v1/models/{name}/predict", json.dumps(body).encode(), JSON)
            assert (reply.status, reply.json["model"]) == (200, name)
            assert reply.json["digest"] == bundles[name].digest
        assert client.predict(text="a").json["model"] == "ngram"
        missing = client.ask("POST", "/v1/models/none/predict", b'{"text":"a"}', JSON)
        assert (missing.status, missing.json["code"]) == (404, "not_found")


def test_an_answer_tells_its_times_and_its_request_id(served_bundles):
    _, client = served_bundles["ngram"]
    reply = post(client, b'{"text":"a"}', **{"x-request-id": "my-id.1"})
    assert reply.headers["x-request-id"] == "my-id.1"
    parts = dict(part.strip().split(";dur=") for part in reply.headers["server-timing"].split(","))
    assert parts.keys() == {"queue", "tokenize", "inference"}
    assert all(float(value) >= 0 for value in parts.values())
    made = {post(client, b"{", **{"x-request-id": "bad id\tx"}).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


JSON = {"content-type": "application/json"}
