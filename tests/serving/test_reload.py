"""Another Bundle while requests go on: by the admin route, by SIGHUP; what is broken is kept out."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from broken_bundles import BROKEN, PATHS, break_bundle

from yanmo.artifacts import Bundle
from yanmo.serving import workers
from yanmo.serving.answering import Answerer

JSON = {"content-type": "application/json"}


def offer(client, path, name="ngram"):
    return client.ask("POST", f"/admin/models/{name}", json.dumps({"path": path}).encode(), JSON)


@pytest.fixture
def folder(tmp_path, bundles, make_bundle):
    """A folder of models: two ngram Bundles that answer differently, and one of another task."""
    shutil.copytree(bundles["ngram"].path, tmp_path / "first")
    make_bundle(tmp_path / "second", task="single_label", model="ngram", seed=7)
    shutil.copytree(bundles["text_pair"].path, tmp_path / "pairs")
    return tmp_path


@pytest.mark.parametrize(("workers", "max_batch_tokens"), [(0, 4096), (1, 4096), (0, 20)])
def test_no_request_fails_and_none_is_answered_by_two_versions(
    bundles, serving, folder, wait, workers, max_batch_tokens
):
    texts = ["很快，好吃", "太慢了", "great value"] * 5
    settings = {"workers": workers, "max_batch_tokens": max_batch_tokens}
    with serving(bundles["ngram"], models_dir=folder, **settings) as client:
        expected: dict[str, list] = {}
        for name in ("second", "first"):
            reply = offer(client, name)
            assert reply.status == 200, reply.content
            answer = client.predict(texts=texts).json
            assert answer["digest"] == reply.json["digest"]
            expected[answer["digest"]] = [one["probability"] for one in answer["predictions"]]
        assert len(expected) == 2
        stop, replies = threading.Event(), []

        def ask() -> None:
            while not stop.is_set():
                replies.append(client.predict(texts=texts))

        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(ask) for _ in range(2)]
            statuses = []
            for name in ("second", "first") * (1 if workers else 8):
                reply = offer(client, name)
                statuses.append(reply.status)
                wait(lambda new=reply.json["digest"]: replies and replies[-1].json["digest"] == new)
            stop.set()
            for one in asking:
                one.result()
    assert set(statuses) == {200}
    assert {reply.status for reply in replies} == {200}
    assert {reply.json["digest"] for reply in replies} == set(expected)
    for reply in replies:
        answer = reply.json
        assert [one["probability"] for one in answer["predictions"]] == pytest.approx(
            expected[answer["digest"]], abs=1e-5
        )


@pytest.fixture(scope="module")
def steady(bundles, serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with serving(bundles["ngram"], models_dir=folder) as client:
        yield client, folder


@pytest.fixture(scope="module")
def offered(steady, bundles, make_bundle):
    """The folder of the running service, with two whole Bundles and one of another task in it."""
    _, root = steady
    shutil.copytree(bundles["ngram"].path, root / "first")
    make_bundle(root / "second", task="single_label", model="ngram", seed=7)
    shutil.copytree(bundles["text_pair"].path, root / "pairs")
    return root


@pytest.mark.parametrize("kind", ["another task", *PATHS, *BROKEN])
def test_a_broken_bundle_is_kept_out_and_the_old_one_answers(bundles, steady, offered, kind):
    client, root = steady
    path = break_bundle(root, kind)
    reply = offer(client, "pairs" if kind == "another task" else path)
    assert (reply.status, reply.json["code"]) == (400, "bundle_refused")
    assert str(root) not in reply.content.decode()
    assert client.get("/v1/models").json["models"][0]["digest"] == bundles["ngram"].digest
    assert client.service.default.num_workers == 1
    assert client.predict(text="a").json["digest"] == bundles["ngram"].digest
    assert client.get("/readyz").status == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        *((body, "wrong_type") for body in (b"", b"{}", b"[]", b'{"path":1}', b'{"path":"a","b":1}')),
        *((body, "wrong_type") for body in (b'{"path":"\xff"}', b"\xef\xbb\xbf{}")),
        *((body, "duplicate_key") for body in (b'{"path":"a","path":"b"}', b'{"path":"a","p\\u0061th" : "a"}')),
        (b'{"path":"a\\":\\":"}', "bundle_refused"),
    ],
)
def test_a_wrong_body_gets_400(steady, body, code):
    client, _ = steady
    reply = client.ask("POST", "/admin/models/ngram", body, JSON)
    assert (reply.status, reply.json["code"]) == (400, code)


def test_an_unknown_model_and_a_service_without_a_folder(steady, served_bundles):
    client, _ = steady
    assert offer(client, "first", name="none").status == 404
    _, other = served_bundles["ngram"]
    assert offer(other, "first").json["code"] == "bundle_refused"


def test_folders_that_changed_are_opened_again_on_demand(folder, serving, make_bundle):
    with serving(Bundle.open(folder / "first")) as client:
        before = client.predict(text="a").json["digest"]
        client.call(client.service.reload_all)
        assert client.predict(text="a").json["digest"] == before
        shutil.rmtree(folder / "first")
        shutil.copytree(folder / "second", folder / "first")
        client.call(client.service.reload_all)
        assert client.predict(text="a").json["digest"] == Bundle.open(folder / "second").digest
        (folder / "first" / "manifest.json").write_text("{", encoding="utf-8")
        client.call(client.service.reload_all)
        assert client.predict(text="a").status == 200


def test_a_folder_that_fails_does_not_keep_others_from_being_opened_again(folder, serving, monkeypatch, caplog):
    def open_or_fail(path, plain=Bundle.open):
        if path.name == "first":
            raise RuntimeError("a failure of our own")
        return plain(path)

    with serving(Bundle.open(folder / "first"), Bundle.open(folder / "second")) as client:
        shutil.rmtree(folder / "second")
        shutil.copytree(folder / "first", folder / "second")
        new = Bundle.open(folder / "second").digest
        monkeypatch.setattr(Bundle, "open", open_or_fail)
        client.call(client.service.reload_all)
        assert [model["digest"] == new for model in client.get("/v1/models").json["models"]] == [True, True]
        assert "a failure of our own" in caplog.text
        assert client.service.default.counters.num_reloads == {"refused": 1}


def test_folders_that_are_opened_again_are_looked_at_like_offered_ones(folder, serving):
    (folder / "current").symlink_to("first")
    with serving(Bundle.open(folder / "current")) as client:
        for name in ("second", "first"):
            before = client.predict(text="a").json["digest"]
            (folder / "current").unlink()
            (folder / "current").symlink_to(name)
            extra = folder / name / "model.onnx.data"
            extra.write_bytes(b"x")
            client.call(client.service.reload_all)
            assert client.predict(text="a").json["digest"] == before
            extra.unlink()
            client.call(client.service.reload_all)
            assert client.predict(text="a").json["digest"] == Bundle.open(folder / name).digest != before
        assert client.service.default.counters.num_reloads == {"refused": 2, "done": 2}


def test_a_link_keeps_its_own_name_whatever_it_points_to(folder, serving):
    (folder / "current").symlink_to("first")
    with serving(Bundle.open(folder / "current")) as client:
        assert client.predict(text="a").json["model"] == "current"
        (folder / "current").unlink()
        (folder / "current").symlink_to("second")
        client.call(client.service.reload_all)
        assert client.ask("POST", "/v1/models/current/predict", b'{"text":"a"}', JSON).status == 200
        assert client.get("/v1/models").json["models"][0]["digest"] == Bundle.open(folder / "second").digest


def test_a_bundle_that_cannot_compute_is_refused_and_leaves_no_thread(bundles, serving, folder, monkeypatch):
    def count_models():
        return [thread.name for thread in threading.enumerate()].count(workers.THREAD_NAME)

    class Broken(Answerer):
        def __init__(self, bundle, options):
            if bundle.path.name == "second":
                raise RuntimeError("an index is out of range")
            super().__init__(bundle, options)

    monkeypatch.setattr(workers, "Answerer", Broken)
    with serving(bundles["ngram"], models_dir=folder) as client:
        before = count_models()
        replies = [offer(client, "second") for _ in range(3)]
        assert [(reply.status, reply.json["code"]) for reply in replies] == [(400, "bundle_refused")] * 3
        assert client.service.default.counters.num_reloads["refused"] == 3
        assert client.predict(text="a").status == 200
        assert count_models() == before
