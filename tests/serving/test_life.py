"""From the first byte of the socket to the last answer: loading, readiness, overload, failures, signals."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from yanmo.artifacts import Bundle
from yanmo.config import build
from yanmo.errors import ArtifactError, ConfigError, ServingError
from yanmo.runtimes import predictor as predictor_module
from yanmo.serving import answering as answering_module
from yanmo.serving.config import ServeConfig
from yanmo.serving.serve import listen, serve
from yanmo.serving.service import name_models

JSON = {"content-type": "application/json"}

SERVE = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
from yanmo.artifacts import Bundle
from yanmo.serving.config import ServeConfig
from yanmo.serving.serve import serve
drain_seconds, workers = map(int, sys.argv[2:])
config = ServeConfig(port=0, max_queue_ms=10_000, drain_seconds=drain_seconds, workers=workers)
serve((Bundle.open(sys.argv[1]),), config)
print(" ".join(sys.modules))
"""

STOP_THE_GROUP_ONCE_A_WORKER_STARTS = """
import os, signal, subprocess
class Popen(subprocess.Popen):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        os.killpg(0, signal.SIGTERM)
subprocess.Popen = Popen
"""

HANG = """
import time
from yanmo.serving.answering import Answerer
plain = Answerer.answer
Answerer.answer = lambda self, texts: time.sleep(600) if "hang" in texts else plain(self, texts)
"""


class Process:
    """A service in a process, and a group, of its own; with ``before`` it runs that first."""

    def __init__(self, bundle: Bundle, drain_seconds: int = 10, before: str = "", workers: int = 0) -> None:
        settings = [str(bundle.path), str(drain_seconds), str(workers)]
        command = [sys.executable, "-W", "error", "-c", before + SERVE, *settings]
        pipe = subprocess.PIPE
        self.popen = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        self.ready_line = self.port = None

    def wait_until_ready(self) -> None:
        self.ready_line = self.popen.stderr.readline()
        assert self.ready_line.startswith("Serving "), self.ready_line + self.popen.stderr.read()
        self.port = int(self.ready_line.partition("127.0.0.1:")[2].split()[0])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal to all its processes, as a terminal and systemd do, and wait."""
        os.killpg(self.popen.pid, number)
        out, err = self.popen.communicate(timeout=20)
        return self.popen.returncode, out, err


@pytest.fixture
def start():
    started = []

    def begin(bundle, **settings):
        started.append(Process(bundle, **settings))
        started[-1].wait_until_ready()
        return started[-1]

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.popen.pid, signal.SIGKILL)
        process.popen.communicate()


@pytest.mark.parametrize(("name", "number"), [("ngram", signal.SIGTERM), ("linear", signal.SIGINT)])
def test_a_process_says_where_it_is_answers_without_torch_and_ends_with_0(bundles, start, name, number):
    bundle = bundles[name]
    process = start(bundle)
    url = f"http://127.0.0.1:{process.port}"
    expected = f"Serving {bundle.name} ({bundle.digest[:12]}) on {url}  POST /predict"
    assert process.ready_line == f"{expected}, playground: {url}/, API: {url}/docs\n"
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
    connection.request("POST", "/predict", b'{"text":"a"}', {"content-type": "application/json"})
    assert connection.getresponse().read()
    status, out, err = process.end(number)
    connection.close()
    assert (status, err) == (0, "")
    assert not set(out.split()) & {"torch", "transformers", "sklearn", "yanmo.verbs"}


def test_json_prints_one_object_once_it_answers(bundles):
    bundle = bundles["ngram"]
    command = [sys.executable, "-m", "yanmo", "serve", str(bundle.path), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        with urllib.request.urlopen(f"{told['url']}/readyz", timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert err.startswith(f"Serving {bundle.name} ")
    assert told == {**bundle.summary(), "url": told["url"], "models": [bundle.name]}
    assert {"model", "digest"} <= told.keys()


@pytest.mark.parametrize("workers", [0, 1])
def test_sigterm_loses_no_accepted_request(bundles, start, workers):
    process = start(bundles["ngram"], workers=workers)
    sent = threading.Barrier(9)

    def ask(number: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
        connection.request("GET", "/livez")
        connection.getresponse().read()
        texts = [f"{number} {'long text ' * 15}"] * 500
        body = json.dumps({"texts": texts}).encode()
        connection.request("POST", "/predict", body, {"content-type": "application/json"})
        sent.wait()
        response = connection.getresponse()
        answers = json.loads(response.read())["predictions"]
        connection.close()
        return len(answers)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, number) for number in range(8)]
        sent.wait()
        status, _, err = process.end()
        assert [one.result() for one in asked] == [500] * 8
    assert (status, err) == (0, "")


def test_sigterm_to_a_worker_that_starts_is_no_failure_of_the_service(bundles):
    process = Process(bundles["ngram"], workers=1, before=STOP_THE_GROUP_ONCE_A_WORKER_STARTS)
    _, err = process.popen.communicate(timeout=20)
    assert (process.popen.returncode, err) == (0, "")


def test_a_client_that_stalls_cannot_keep_the_service_from_ending(bundles, start):
    process = start(bundles["ngram"], drain_seconds=1)
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
    connection.putrequest("POST", "/predict")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", "100")
    connection.endheaders(b'{"text":')
    connection.sock.settimeout(20)
    idle = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
    idle.connect()
    status, _, err = process.end()
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (503, "not_ready")
    assert status == 0
    assert "Traceback" not in err
    connection.close()
    idle.close()


def test_a_model_that_hangs_cannot_keep_the_service_from_ending(bundles, start):
    process = start(bundles["ngram"], drain_seconds=1, before=HANG)
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=20)
    connection.request(
        "POST", "/predict", b'{"text":"hang"}', {"content-type": "application/json", "x-timeout-ms": "50"}
    )
    assert connection.getresponse().read()
    status, _, err = process.end()
    connection.close()
    assert (status, err) == (0, "A model still computes, for nobody; the process ends without it.\n")


def test_a_port_in_use_is_an_error_with_the_next_action(bundles):
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError) as caught:
            serve((bundles["ngram"],), ServeConfig(port=port))
    assert caught.value.message == f"Cannot listen on 127.0.0.1 port {port}: address already in use."
    assert "--port" in str(caught.value.hint)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_here_is_an_error(bundles, host):
    with pytest.raises(ServingError):
        serve((bundles["ngram"],), ServeConfig(host=host, port=0, api_keys="none"))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_bundle_with_more_than_its_manifest_names_is_not_served(bundles, tmp_path, kind):
    shutil.copytree(bundles["ngram"].path, tmp_path / "model")
    if kind == "file":
        (tmp_path / "model" / "model.onnx.data").write_bytes(b"x")
    else:
        (tmp_path / "model" / "members").symlink_to(bundles["linear"].path)
    bundle = Bundle.open(tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"model.onnx.data|members is a link"):
        serve((bundle,), ServeConfig(port=0), when_ready=lambda _: signal.raise_signal(signal.SIGTERM))


def test_a_bundle_without_its_golden_answers_ends_the_service_with_the_error(wrong_bundle):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ArtifactError):
        serve((wrong_bundle,), ServeConfig(port=0))
    assert signal.getsignal(signal.SIGTERM) is before


class Gate:
    """Stands before a model: holds its answers while closed, and fails at the text 'bad'."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opening = threading.Event()
        self.answering = threading.Event()
        self.calls = 0
        self.opening.set()
        self.answering.set()
        monkeypatch.setattr(answering_module, "open_bundle", self.open)

    def open(self, bundle, **settings):
        assert self.opening.wait(20)
        predictor = predictor_module.open_bundle(bundle, **settings)
        self.encode, predictor.encode = predictor.encode, self.hold
        return predictor

    def hold(self, inputs):
        self.calls += 1
        assert self.answering.wait(20)
        if "bad" in inputs.first:
            raise ValueError("a secret message about 'bad'")
        return self.encode(inputs)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.opening.set()
    gate.answering.set()


def test_it_is_alive_but_not_ready_while_the_model_is_loaded(bundles, serving, gate):
    gate.opening.clear()
    with serving(bundles["ngram"], ready=False) as client:
        assert client.get("/livez").status == 200
        assert client.get("/v1/models").status == 200
        for reply in (client.get("/readyz"), client.predict(text="a")):
            assert (reply.status, reply.json["code"]) == (503, "not_ready")
            assert reply.headers["retry-after"] == "1"
        gate.opening.set()
        client.wait_until_ready()
        assert client.predict(text="a").status == 200


def test_while_draining_it_is_not_ready_but_answers_what_comes(bundles, serving):
    with serving(bundles["ngram"], models_dir=bundles["ngram"].path.parent) as client:
        client.service.drain()
        assert client.get("/livez").status == 200
        for reply in (client.get("/readyz"), offer(client, "ngram")):
            assert (reply.status, reply.json["code"]) == (503, "not_ready")
        assert client.predict(text="a").status == 200


def offer(client, path):
    body, headers = json.dumps({"path": path}).encode(), {"content-type": "application/json"}
    return client.ask("POST", f"/admin/models/{client.service.default.name}", body, headers)


def test_a_signal_to_end_while_the_model_is_loaded_lets_no_request_in(bundles, serving, gate):
    gate.opening.clear()
    with serving(bundles["ngram"], ready=False) as client:
        assert client.get("/livez").status == 200
        client.service.drain()
        reply = client.predict(text="a")
        assert (reply.status, reply.json["code"]) == (503, "not_ready")
        assert client.service.default.batcher.num_waiting == 0


def test_another_bundle_waits_until_the_first_one_is_loaded(bundles, make_bundle, serving, gate, tmp_path):
    shutil.copytree(bundles["ngram"].path, tmp_path / "model")
    new = make_bundle(tmp_path / "new", task="single_label", model="ngram", seed=7)
    gate.opening.clear()
    with serving(Bundle.open(tmp_path / "model"), ready=False, models_dir=tmp_path) as client:
        assert client.get("/livez").status == 200
        refused = offer(client, "new")
        assert (refused.status, refused.json["code"]) == (503, "not_ready")
        shutil.rmtree(tmp_path / "model")
        new.path.rename(tmp_path / "model")
        with ThreadPoolExecutor(1) as pool:
            on_signal = pool.submit(client.call, client.service.reload_all)
            gate.opening.set()
            on_signal.result()
        assert {client.predict(text="a").json["digest"] for _ in range(4)} == {new.digest}
        assert client.service.default.num_workers == 1


def test_a_full_queue_gets_429_at_once_and_then_there_is_room_again(bundles, serving, wait, gate):
    with serving(bundles["ngram"], max_queue_tokens=2) as client, ThreadPoolExecutor(2) as pool:
        gate.answering.clear()
        calls = gate.calls
        working = pool.submit(client.predict, text="a")
        wait(lambda: gate.calls > calls)
        waiting = pool.submit(client.predict, texts=["b", "c"])
        wait(lambda: client.service.default.batcher.num_waiting_tokens == 2)
        refused = client.predict(text="d")
        assert (refused.status, refused.json["code"]) == (429, "queue_full")
        assert refused.headers["retry-after"] == "1"
        assert client.get("/livez").status == 200
        gate.answering.set()
        assert working.result().status == waiting.result().status == 200
        assert client.predict(text="e").status == 200


def test_a_model_that_fails_at_one_text_fails_only_that_request(bundles, serving, wait, gate, caplog):
    with serving(bundles["ngram"]) as client, ThreadPoolExecutor(3) as pool:
        gate.answering.clear()
        calls = gate.calls
        first = pool.submit(client.predict, text="a")
        wait(lambda: gate.calls > calls)
        bad, good = pool.submit(client.predict, text="bad"), pool.submit(client.predict, text="good")
        wait(lambda: client.service.default.batcher.num_waiting == 2)
        gate.answering.set()
        assert first.result().status == good.result().status == 200
        assert (bad.result().status, bad.result().json["code"]) == (500, "internal_error")
        assert b"secret" not in bad.result().content
        assert b"bad" not in bad.result().content
        assert " failed." in caplog.text
        assert client.predict(text="a").status == 200


def test_models_are_called_as_they_are_given_or_as_name_says(bundles, serving, tmp_path, monkeypatch):
    (tmp_path / "current").symlink_to(bundles["ngram"].path)
    (tmp_path / "next").symlink_to(bundles["ngram"].path)
    both = [Bundle.open(tmp_path / "current"), Bundle.open(tmp_path / "next")]
    assert name_models(both) == ["current", "next"]
    with serving(*both, name=("reviews", "intents.v2")) as client:
        assert [model["name"] for model in client.get("/v1/models").json["models"]] == ["reviews", "intents.v2"]
        assert client.ask("POST", "/v1/models/intents.v2/predict", b'{"text":"a"}', JSON).json["model"] == "intents.v2"
        assert client.ask("POST", "/v1/models/next/predict", b'{"text":"a"}', JSON).status == 404
    monkeypatch.chdir(bundles["ngram"].path)
    assert [name_models([Bundle.open(path)]) for path in (".", "../ngram", "../ngram/")] == [["ngram"]] * 3


def test_names_that_do_not_fit_are_refused(bundles):
    pair = [bundles["ngram"], bundles["linear"]]
    with pytest.raises(ServingError, match="There are 2 Bundles and 1 names"):
        name_models(pair, ["a"])
    with pytest.raises(ServingError, match="Two Bundles have the name 'a'"):
        name_models(pair, ["a", "a"])
    for name in ("", "a/b", "a:predict", ".a", "a b", "a\n", "a" * 129):
        with pytest.raises(ConfigError, match="The 'name' parameter of serve must be"):
            build(ServeConfig, {"name": (name,)}, where="serve")
