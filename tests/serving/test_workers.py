"""Worker processes: answers, faults and replacement, with real signals."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from broken_bundles import write_as_claimed

from yanmo.artifacts import Bundle
from yanmo.runtimes.predictor import open_bundle
from yanmo.serving.batcher import DeadlineError
from yanmo.serving.child import BatchWatcher, MessageSocket
from yanmo.serving.frames import GivenUp, Grown, TextBatch, encode_frame
from yanmo.serving.queued import QueuedRequest
from yanmo.serving.workers import ProcessWorker

TEXTS = ["很快，好吃", "太慢了", "great", "", "😀"]
NOTICED_SECONDS = 2.0
REPLACED_SECONDS = 15
"""A process must start and load its libraries, on a busy machine."""


@pytest.fixture(scope="module")
def watched(bundles, serving):
    with serving(bundles["ngram"], bundles["text_pair"], workers=1) as client:
        yield client


def test_a_process_gives_the_same_answers(watched, bundles):
    answers = watched.predict(texts=TEXTS).json["predictions"]
    expected_NC = open_bundle(bundles["ngram"]).predict_proba(TEXTS)
    got_NC = np.array([list(one["probabilities"].values()) for one in answers])
    np.testing.assert_allclose(got_NC, expected_NC, atol=1e-5)
    pair = watched.ask(
        "POST", "/v1/models/text_pair/predict", b'{"text":"a","text_b":"b"}', {"content-type": "application/json"}
    )
    assert pair.status == 200


def test_a_process_hears_between_two_steps_whose_answer_is_given_up():
    ours, theirs = socket.socketpair()
    line = MessageSocket(theirs.detach())
    watcher = BatchWatcher(line, [0, 2])
    assert (0 in watcher.rows, 1 in watcher.rows) == (True, False)
    assert watcher.grow(0, "a")
    assert ours.recv(100) == encode_frame(Grown(0, "a"))
    # Two that come at once are both heard, and nothing is told that is nothing.
    ours.sendall(encode_frame(GivenUp(0)) + encode_frame(GivenUp(2)))
    assert [watcher.grow(0, ""), watcher.grow(2, "")] == [False, False]
    assert not line.has_more()
    with pytest.raises(BlockingIOError):
        ours.recv(1, socket.MSG_DONTWAIT)
    for one in (ours, line._socket):
        one.close()


def test_what_is_given_up_once_its_batch_is_answered_is_not_told_to_the_next_one():
    async def main():
        ours, theirs = socket.socketpair()
        worker = ProcessWorker(lambda _: None, batch_seconds=60, logs_json=False)
        _, worker._writer = await asyncio.open_connection(sock=ours)
        job = QueuedRequest(["one"], 3, asyncio.get_running_loop(), lambda _: None)
        answering = asyncio.create_task(worker.answer(["one"], {0: job}))
        await asyncio.sleep(0)
        worker._pending.set_result(None)
        job.give_up(DeadlineError())
        await answering
        await asyncio.sleep(0)
        assert theirs.recv(1000) == encode_frame(TextBatch(["one"], [0]))
        with pytest.raises(BlockingIOError):
            theirs.recv(1, socket.MSG_DONTWAIT)
        worker._writer.close()
        theirs.close()

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_hangs_is_noticed_and_replaced(watched, wait, number):
    model = watched.service.default
    (pid,) = model.pids
    lost = model.counters.num_lost
    stop = threading.Event()
    statuses: list[tuple[int, str | None]] = []

    def ask() -> None:
        while not stop.is_set():
            reply = watched.predict(text="a")
            statuses.append((reply.status, reply.json.get("code")))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        wait(lambda: len(statuses) > 20)
        os.kill(pid, number)
        begin = time.monotonic()
        wait(lambda: model.counters.num_lost == lost + 1)
        noticed = time.monotonic() - begin
        wait(lambda: model.num_workers == 1, REPLACED_SECONDS)
        before = len(statuses)
        wait(lambda: len(statuses) > before + 20)
        stop.set()
        for one in asking:
            one.result()
    assert noticed <= NOTICED_SECONDS + 0.5
    assert model.pids != [pid]
    assert {status for status, _ in statuses} <= {200, 503}
    assert sum(status == 503 for status, _ in statuses) <= 4
    assert {code for status, code in statuses if status == 503} <= {"worker_lost"}
    assert watched.get("/readyz").status == 200
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


HANG = """
import time
from yanmo.serving.answering import Answerer

plain = Answerer.answer


def answer(self, texts):
    if "sleep" in texts:
        time.sleep(600)
    while "spin" in texts:
        pass
    return plain(self, texts)


Answerer.answer = answer
"""


@pytest.mark.parametrize("hang", ["sleep", "spin"])
def test_a_model_that_hangs_while_its_process_beats_is_replaced(bundles, serving, wait, monkeypatch, tmp_path, hang):
    (tmp_path / "sitecustomize.py").write_text(HANG, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with serving(bundles["ngram"], workers=1, deadline_seconds=60) as client:
        model = client.service.default
        (pid,) = model.pids
        begin = time.monotonic()
        reply = client.predict(text=hang)
        assert (reply.status, reply.json["code"]) == (503, "worker_lost")
        # One that spins is told by what it has computed, for which it waits on a busy machine.
        assert time.monotonic() - begin < (NOTICED_SECONDS + 0.5 if hang == "sleep" else 30)
        wait(lambda: model.num_workers == 1, REPLACED_SECONDS)
        assert model.pids != [pid]
        assert client.predict(text="a").status == 200


def test_a_worker_that_is_lost_before_its_first_batch_is_replaced(bundles, serving, wait, monkeypatch):
    with serving(bundles["ngram"], workers=1) as client:
        model, lost = client.service.default, []

        async def open_and_lose(bundle, plain=model._open):
            workers = await plain(bundle)
            lost.extend(worker.pid for worker in workers)
            os.kill(lost[0], signal.SIGKILL)
            while not workers[0].is_lost:
                await asyncio.sleep(0.01)
            return workers

        monkeypatch.setattr(model, "_open", open_and_lose)
        client.call(model.reload, bundles["ngram"])
        wait(lambda: model.pids and model.pids != lost, REPLACED_SECONDS)
        assert model.num_workers == model.batcher.num_workers == 1
        assert client.predict(text="a").status == 200


def test_without_a_worker_it_is_not_ready(bundles, serving, wait, monkeypatch):
    with serving(bundles["ngram"], workers=1) as client:
        model = client.service.default
        monkeypatch.setattr(model, "_open_again", model.batcher.detach)
        os.kill(model.pids[0], signal.SIGKILL)
        wait(lambda: model.num_workers == 0)
        time.sleep(0.5)
        assert (client.get("/readyz").status, client.get("/livez").status) == (503, 200)


@pytest.mark.parametrize("are_lost", [False, True])
def test_the_processes_end_with_the_service_also_those_that_just_begin(bundles, serving, wait, are_lost):
    with serving(bundles["ngram"], workers=2) as client:
        model = client.service.default
        pids = model.pids
        assert len(set(pids)) == 2
        assert client.predict(texts=TEXTS).status == 200
        if are_lost:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            wait(lambda: model.counters.num_lost == 2)
            time.sleep(0.3)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_bundle_that_a_process_refuses_ends_the_service(wrong_bundle, serving, wait):
    with serving(wrong_bundle, ready=False, workers=1) as client:
        wait(lambda: client.server.failure is not None)
        assert "golden text" in str(client.server.failure)


def test_a_bundle_at_which_a_process_fails_ends_the_service_with_the_reason(bundles, serving, wait, tmp_path):
    shutil.copytree(bundles["ngram"].path, tmp_path / "bad")
    write_as_claimed(tmp_path / "bad", "ngram.json", b"{}")
    with serving(Bundle.open(tmp_path / "bad"), ready=False, workers=1) as client:
        wait(lambda: client.server.failure is not None)
        assert f"{tmp_path / 'bad'} cannot be served: " in str(client.server.failure)
