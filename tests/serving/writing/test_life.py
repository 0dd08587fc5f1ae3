"""Requests that end before their texts: clients that go, deadlines, too much to do, other Bundles, the end."""

import json
import shutil
import threading

import msgspec
import pytest

import yanmo
from yanmo.artifacts import Bundle
from yanmo.errors import ArtifactError, ConfigError
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.drafting import DecoderDraft
from yanmo.runtimes.generating.writer import open_writer

LONG = {"prompt": "the cat", "max_tokens": 60, "logit_bias": {"0": -100}}


@pytest.fixture
def slow(monkeypatch):
    """Each step takes some milliseconds, as that of a larger model does."""
    step = DecoderSession.step

    def wait_and_step(self, *arguments):
        threading.Event().wait(0.02)
        return step(self, *arguments)

    monkeypatch.setattr(DecoderSession, "step", wait_and_step)


@pytest.fixture
def service(decoder_bundle, serving, slow):
    with serving(decoder_bundle, num_threads=1, max_rows=2, max_writing_tokens=250) as client:
        yield client


def model_of(client):
    return next(iter(client.service.writers.values()))


def test_a_stream_whose_client_goes_frees_its_place_within_a_step(service, open_stream, wait):
    model = model_of(service)
    with open_stream(service, **LONG) as events:
        next(events)
        assert model.num_rows == 1
    written = model.counters.num_written_tokens
    wait(lambda: model.num_rows == 0 and model.num_owed_tokens == 0, 1)
    assert model.counters.num_written_tokens < written + 20
    assert model.counters.endings == {"given_up": 1}


def test_a_service_with_a_draft_writes_the_same_texts(
    decoder_folder, make_decoder_bundle, serving, ask_json, tmp_path, monkeypatch
):
    bundle, texts, calls = make_decoder_bundle(decoder_folder, tmp_path / "writer"), [], []
    foresee = DecoderDraft.foresee
    monkeypatch.setattr(DecoderDraft, "foresee", lambda *given: calls.append(given) or foresee(*given))
    for keys in ({}, {"draft": bundle.path}):
        with serving(bundle, num_threads=1, **keys) as client:
            reply = ask_json(client, "/v1/completions", prompt="the cat", max_tokens=30, seed=7)
            texts.append(reply.json["choices"][0]["text"])
        assert bool(calls) == bool(keys)
    assert texts[0] == texts[1]
    assert texts[0]


def test_a_text_that_is_not_whole_in_time_is_ended(service, open_stream, wait):
    headers = {"content-type": "application/json", "x-timeout-ms": "500"}
    reply = service.ask(
        "POST", "/v1/completions", b'{"prompt": "a", "max_tokens": 60, "logit_bias": {"0": -100}}', headers
    )
    assert (reply.status, reply.json["error"]["code"]) == (504, "deadline_exceeded")
    with open_stream(service, headers={"x-timeout-ms": "500"}, **LONG) as events:
        *texts, last = list(events)
    assert texts
    assert last["error"]["code"] == "deadline_exceeded"
    wait(lambda: model_of(service).num_rows == 0, 1)


def test_what_is_more_than_the_budget_is_refused(service, open_stream, ask_json):
    reply = ask_json(service, "/v1/completions", **{**LONG, "n": 5})
    assert (reply.status, reply.json["error"]["code"]) == (413, "too_much_text")
    with open_stream(service, **LONG, n=3) as events:
        next(events)
        reply = ask_json(service, "/v1/completions", **LONG)
        assert (reply.status, reply.json["error"]["type"]) == (429, "rate_limit_error")
        assert int(reply.headers["retry-after"]) >= 1
        assert ask_json(service, "/v1/completions", prompt="a", max_tokens=2).status == 200


def test_a_request_that_joins_disturbs_no_other(service, open_stream, ask_json, decoder_bundle):
    with open_writer(decoder_bundle, num_threads=1) as writer:
        alone = writer.write(["the cat"], max_new_tokens=60, seed=7, bias=["0=-100"])[0][0].text
    with open_stream(service, **LONG, seed=7) as events:
        begun = next(events)["choices"][0]["text"]
        assert ask_json(service, "/v1/completions", prompt="a dog", max_tokens=5).status == 200
        rest = [one["choices"][0]["text"] for one in events if one != "[DONE]"]
    assert begun + "".join(rest) == alone


@pytest.fixture
def reload(ask_json):
    """Ask a service to replace its model."""

    def ask(client, path):
        body = json.dumps({"path": path}).encode()
        return client.ask("POST", "/admin/models/first", body, {"content-type": "application/json"})

    return ask


@pytest.fixture
def two_bundles(decoder_folder, make_decoder_bundle, tmp_path):
    first = make_decoder_bundle(decoder_folder, tmp_path / "first", is_int8=True)
    return first, make_decoder_bundle(decoder_folder, tmp_path / "second")


def test_another_bundle_takes_over_while_texts_are_written(two_bundles, serving, slow, open_stream, ask_json, reload):
    first, second = two_bundles
    with serving(first, num_threads=1, models_dir=first.path.parent) as client:
        with open_stream(client, **LONG) as events:
            next(events)
            reply = reload(client, "second")
            assert (reply.status, reply.json["digest"]) == (200, second.digest)
            assert list(events)[-1] == "[DONE]"
        assert ask_json(client, "/v1/completions", prompt="a").status == 200
        (first.path.parent / "broken").mkdir()
        assert reload(client, "broken").json["code"] == "bundle_refused"


def test_a_service_that_ends_tells_those_that_still_read(decoder_bundle, serving, slow, open_stream):
    with serving(decoder_bundle, num_threads=1, drain_seconds=0) as client, open_stream(client, **LONG) as events:
        next(events)
        client.server.should_exit = True
        last = list(events)[-1]
    assert last["error"]["code"] == "not_ready"


def test_a_model_that_fails_ends_the_texts_in_hand_and_writes_on(service, ask_json, monkeypatch, caplog):
    step = DecoderSession.step
    monkeypatch.setattr(DecoderSession, "step", lambda *_: 1 / 0)
    reply = ask_json(service, "/v1/completions", **LONG)
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
    monkeypatch.setattr(DecoderSession, "step", step)
    assert ask_json(service, "/v1/completions", prompt="a").status == 200
    assert "The model failed" in caplog.text


def test_metrics_say_what_was_written(service, ask_json):
    ask_json(service, "/v1/completions", prompt="the cat", max_tokens=5, logit_bias={"0": -100})
    lines = dict(
        line.rsplit(" ", 1) for line in service.get("/metrics").content.decode().splitlines() if line[0] != "#"
    )
    found = {name.removeprefix("yanmo_"): float(value) for name, value in lines.items() if 'model="writer"' in name}
    assert found['written_tokens_total{model="writer"}'] == 5
    assert found['prompt_tokens_total{model="writer"}'] == 4
    assert found['first_token_seconds_count{model="writer"}'] == 1
    assert found['token_seconds_count{model="writer"}'] == 4
    assert found['texts_ended_total{ending="length",model="writer"}'] == 1
    assert found['owed_tokens{model="writer"}'] == found['rows{model="writer"}'] == 0


def test_models_that_label_and_models_that_write_stand_side_by_side(bundles, decoder_bundle, serving, ask_json):
    with serving(decoder_bundle, bundles["ngram"], num_threads=1) as client:
        assert ask_json(client, "/predict", text="a").status == 200
        assert ask_json(client, "/v1/completions", prompt="a").status == 200
        wrong = [
            ask_json(client, "/v1/models/writer/predict", text="a").json["code"],
            ask_json(client, "/v1/completions", prompt="a", model="ngram").json["error"]["code"],
        ]
        assert wrong == ["wrong_model"] * 2
        shown = client.get("/v1/models").json
        assert [one["name"] for one in shown["models"]] == ["ngram", "writer"]
        assert {"/predict", "/v1/completions"} <= client.get("/openapi.json").json["paths"].keys()
    with serving(decoder_bundle, num_threads=1) as client:
        assert ask_json(client, "/predict", text="a").json["code"] == "wrong_model"
        assert client.get("/info").status == 400
        assert "/predict" not in client.get("/openapi.json").json["paths"]


def test_a_bundle_that_is_broken_or_answers_otherwise_is_refused(decoder_bundle, tmp_path):
    shutil.copytree(decoder_bundle.path, tmp_path / "copy")
    golden = json.loads((tmp_path / "copy" / "golden.json").read_text())
    golden["evidence"]["log_likelihoods"][0][0] -= 9
    (tmp_path / "copy" / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(ArtifactError, match="does not answer as it did"):
        open_writer(Bundle.open(tmp_path / "copy", verify=False), num_threads=1)
    (tmp_path / "copy" / "onnx" / "decoder.onnx").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="cannot load"):
        open_writer(Bundle.open(tmp_path / "copy", verify=False), num_threads=1)


def test_a_language_model_that_is_not_exported_says_how_it_comes_to_write(decoder_bundle, serving):
    manifest = msgspec.structs.replace(
        decoder_bundle.manifest, info={**decoder_bundle.manifest.info, "format": "torch"}
    )
    bundle = Bundle(decoder_bundle.path, manifest, decoder_bundle.digest)
    with pytest.raises(ConfigError, match="serve is for .* about the tokens of texts") as caught:
        yanmo.serve([bundle], port=0)
    assert "yanmo export" in caught.value.hint
