"""What the service tells about itself: metrics, logs, readiness."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families

from yanmo.runtimes.predictor import open_bundle
from yanmo.serving.answering import Answerer
from yanmo.serving.logs import JsonFormatter


def metrics(client):
    reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {}
    for family in text_string_to_metric_families(reply.content.decode()):
        for sample in family.samples:
            samples[sample.name, *sorted(sample.labels.values())] = sample.value
    return samples


def test_what_happened_is_counted(bundles, serving):
    with serving(bundles["ngram"]) as client:
        texts = ["很快，好吃", "太慢了", ""]
        answers = client.predict(texts=texts).json["predictions"]
        client.predict(text=1)
        found = metrics(client)
    assert found["yanmo_requests_total", "/predict", "200"] == 1
    assert found["yanmo_requests_total", "/predict", "400"] == 1
    assert found["yanmo_refused_total", "wrong_type"] == 1
    assert found["yanmo_request_seconds_count", "/predict"] == 2
    assert found["yanmo_batch_texts_count", "ngram"] == 1
    assert found["yanmo_batch_texts_sum", "ngram"] == 3
    assert found["yanmo_tokens_total", "ngram"] == found["yanmo_token_cells_total", "ngram"] > 0
    assert found["yanmo_confidence_count", "ngram"] == 3
    assert found["yanmo_confidence_sum", "ngram"] == pytest.approx(sum(one["probability"] for one in answers))
    labels = [one["prediction"] for one in answers]
    for label in set(labels):
        assert found["yanmo_predictions_total", *sorted([label, "ngram"])] == labels.count(label)
    assert found["yanmo_workers", "ngram"] == 1
    assert found["yanmo_queue_tokens", "ngram"] == 0
    assert found["yanmo_model_info", *sorted(["ngram", "ngram", bundles["ngram"].digest])] == 1


def test_golden_examples_are_no_traffic_alone_or_in_one_batch_with_requests(bundles, serving, wait, monkeypatch):
    begun, may_go, plain = threading.Event(), threading.Event(), Answerer.answer

    def answer(answerer, texts):
        if "first" in texts:
            begun.set()
            assert may_go.wait(20)
        return plain(answerer, texts)

    monkeypatch.setattr(Answerer, "answer", answer)
    with serving(bundles["ngram"]) as client, ThreadPoolExecutor(3) as pool:
        assert client.get("/readyz").status == 200
        assert metrics(client)["yanmo_batch_texts_count", "ngram"] == 0
        model = client.service.default
        asked = [pool.submit(client.predict, text="first")]
        assert begun.wait(20)
        asked.append(pool.submit(client.predict, texts=["b", "c d"]))
        wait(lambda: model.batcher.num_waiting == 1)
        checked = pool.submit(client.call, model.check)
        wait(lambda: model.batcher.num_waiting == 2)
        may_go.set()
        assert [one.result().status for one in asked] == [200, 200]
        checked.result()
        found = metrics(client)
    with open_bundle(bundles["ngram"]) as predictor:
        num_tokens = int(predictor.infer(["first", "b", "c d"])[1].num_tokens_N.sum())
    assert found["yanmo_batch_texts_count", "ngram"] == found["yanmo_queue_seconds_count", "ngram"] == 2
    assert found["yanmo_batch_texts_sum", "ngram"] == found["yanmo_confidence_count", "ngram"] == 3
    assert found["yanmo_tokens_total", "ngram"] == found["yanmo_token_cells_total", "ngram"] == num_tokens


def test_it_is_not_ready_within_two_seconds_while_the_model_hangs(bundles, serving, wait, monkeypatch, caplog):
    hang, plain = threading.Event(), Answerer.answer

    def answer(answerer, texts):
        assert "hang" not in texts or hang.wait(20)
        return plain(answerer, texts)

    monkeypatch.setattr(Answerer, "answer", answer)
    with serving(bundles["ngram"]) as client:
        headers = {"content-type": "application/json", "x-timeout-ms": "50"}
        begin = time.monotonic()
        assert client.ask("POST", "/predict", b'{"text":"hang"}', headers).status == 504
        wait(lambda: client.get("/readyz").status == 503)
        assert time.monotonic() - begin < 2
        assert "Model ngram hangs: no answer to a golden example in 1 s." in caplog.messages
        assert client.get("/livez").status == 200
        hang.set()
        client.wait_until_ready()


def test_a_log_line_is_one_json_object():
    record = logging.LogRecord("yanmo", logging.WARNING, __file__, 1, "line\n%s", ('"x"',), None)
    assert json.loads(JsonFormatter().format(record))["message"] == 'line\n"x"'
    assert "\n" not in JsonFormatter().format(record)


FAIL = """
from yanmo.serving.answering import Answerer
plain = Answerer.answer
def answer(self, texts):
    if "Geheim8" in texts:
        raise ValueError
    return plain(self, texts)
Answerer.answer = answer
"""


def test_the_access_log_has_a_line_a_request_and_never_a_text(bundles, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FAIL, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    command = [
        sys.executable,
        "-m",
        "yanmo",
        "serve",
        str(bundles["ngram"].path),
        "--port",
        "0",
        "--json",
        "--access-log",
        "--workers",
        "1",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = json.loads(process.stdout.readline())["url"]
        headers = {"content-type": "application/json", "x-request-id": "mine-1"}
        request = urllib.request.Request(f"{url}/predict", b'{"text":"Geheim7"}', headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(urllib.request.Request(f"{url}/predict", b'{"text":"Geheim8"}', headers), timeout=20)
        process.send_signal(signal.SIGHUP)
        with urllib.request.urlopen(f"{url}/livez", timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    first, *lines = err.splitlines()
    assert first.startswith("Serving ngram")
    told = [json.loads(line) for line in lines]
    mine = [line for line in told if line.get("request_id") == "mine-1"]
    assert [(line["route"], line["status"]) for line in mine] == [("/predict", 200), ("/predict", 500)]
    assert mine[0]["milliseconds"] > 0
    failures = [line["message"] for line in told if "exception" in line]
    assert failures == ["The model failed at a batch of 1 text.", "Request mine-1 failed."]
    assert "Geheim" not in err


@pytest.mark.extra("opentelemetry")
def test_a_request_is_a_span_below_that_of_the_client(bundles, serving, monkeypatch):
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    with serving(bundles["ngram"]) as client:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        headers = {"content-type": "application/json", "traceparent": parent}
        assert client.ask("POST", "/predict", b'{"text":"a"}', headers).status == 200
        client.get("/livez")
    (span,) = [one for one in exporter.get_finished_spans() if one.name == "/predict"]
    assert span.attributes["http.response.status_code"] == 200
    assert f"{span.context.trace_id:032x}" == parent[3:35]
    assert 0 < span.end_time - span.start_time < 10e9
