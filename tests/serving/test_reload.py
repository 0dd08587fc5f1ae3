"""Another Bundle while requests go on: by the admin route, by SIGHUP; what is broken is kept out."""

from __future__ import annotations

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

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


@pytest.mark.parametrize("workers", [0, 1])
def test_no_request_fails_and_none_is_answered_by_two_versions(bundles, serving, folder, workers):
    texts = ["很快，好吃", "太慢了", "great value"] * 5
    with serving(bundles["ngram"], models_dir=folder, workers=workers) as client:
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
            statuses = [offer(client, name).status for name in ("second", "first") * (1 if workers else 8)]
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


def claim(bad, **values):
    """Change what a manifest says."""
    manifest = bad / "manifest.json"
    raw = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**raw, **values}), encoding="utf-8")


def claim_format(bad):
    claim(bad, info={"format": "pickle", "model": "x", "max_length": 0, "text": {}})


def claim_file_outside(bad):
    files = json.loads((bad / "manifest.json").read_text(encoding="utf-8"))["files"]
    claim(bad, files={**files, "../first/model.safetensors": files["model.safetensors"]})


def turn_one_bit(bad):
    content = bytearray((bad / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (bad / "model.safetensors").write_bytes(content)


def link_weights(bad):
    (bad / "model.safetensors").rename(bad.parent / "weights")
    (bad / "model.safetensors").symlink_to(bad.parent / "weights")


PATHS = {
    "missing": "nowhere",
    "empty path": "",
    "a file": "bad/manifest.json",
    "above": "../models/bad",
    "absolute": "/etc",
    "inner dots": "first/../bad",
    "nul": "bad\0",
    "link to it": "link",
    "another task": "pairs",
}
BROKEN = {
    "file is a link": link_weights,
    "extra link": lambda bad: (bad / "passwd").symlink_to("/etc/passwd"),
    "extra file": lambda bad: (bad / "model.onnx.data").write_bytes(b"x"),
    "fifo": lambda bad: os.mkfifo(bad / "pipe"),
    "no manifest": lambda bad: (bad / "manifest.json").unlink(),
    "no json": lambda bad: (bad / "manifest.json").write_text("{", encoding="utf-8"),
    "newer": lambda bad: claim(bad, schema_version=99),
    "another kind": lambda bad: claim(bad, kind="report"),
    "unknown format": claim_format,
    "file outside": claim_file_outside,
    "one bit": turn_one_bit,
    "cut": lambda bad: (bad / "model.safetensors").write_bytes(b"\0" * 100),
    "no weights": lambda bad: (bad / "model.safetensors").unlink(),
}


@pytest.fixture(scope="module")
def steady(bundles, serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with serving(bundles["ngram"], models_dir=folder) as client:
        yield client, folder


@pytest.mark.parametrize("kind", [*PATHS, *BROKEN])
def test_a_broken_bundle_is_kept_out_and_the_old_one_answers(bundles, steady, folder, kind):
    client, root = steady
    shutil.rmtree(root)
    shutil.copytree(folder, root)
    shutil.copytree(folder / "second", root / "bad")
    (root / "link").symlink_to(root / "bad")
    BROKEN.get(kind, str)(root / "bad")
    reply = offer(client, PATHS.get(kind, "bad"))
    assert (reply.status, reply.json["code"]) == (400, "bundle_refused")
    assert str(root) not in reply.content.decode()
    assert client.predict(text="a").json["digest"] == bundles["ngram"].digest
    assert client.get("/readyz").status == 200


def test_wrong_golden_answers_are_kept_out(bundles, steady, folder, make_bundle):
    client, root = steady
    make_bundle(root / "wrong", task="single_label", model="ngram", error=0.1)
    assert offer(client, "wrong").json["code"] == "bundle_refused"
    assert client.predict(text="a").json["digest"] == bundles["ngram"].digest


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"path":1}', b'{"path":"a","b":1}', b'{"path":"\xff"}', b"\xef\xbb\xbf{}"]
)
def test_a_wrong_body_gets_400(steady, body):
    client, _ = steady
    assert client.ask("POST", "/admin/models/ngram", body, JSON).status == 400


def test_an_unknown_model_and_a_service_without_a_folder(steady, served_bundles):
    client, _ = steady
    assert offer(client, "first", name="none").status == 404
    _, other = served_bundles["ngram"]
    assert offer(other, "first").json["code"] == "bundle_refused"


def test_folders_that_changed_are_opened_again_on_demand(folder, serving, make_bundle):
    from yanmo.artifacts import Bundle

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
