"""Answers over HTTP are those of the Predictor."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from yanmo.runtimes.predictor import open_bundle

TEXTS = ["很快，好吃", "太慢了", "great", "", " ", "😀 <b>ok</b>", "a" * 500, "\x00\x1e\x1f", "\u202ex", "\U0010ffff"]


def rows(reply, labels):
    return np.array([[one["probabilities"][label] for label in labels] for one in reply.json["predictions"]])


@pytest.fixture(params=["ngram", "linear", "multi_label", "text_pair"])
def served(request, served_bundles):
    return served_bundles[request.param]


def columns(bundle, texts):
    """Return the texts as the request has them and as the Predictor takes them."""
    if bundle.task != "text_pair":
        return {"texts": texts}, texts
    seconds = texts[::-1]
    return {"texts": texts, "texts_b": seconds}, list(zip(texts, seconds, strict=True))


def test_many_texts_get_exactly_the_probabilities_of_the_predictor(served):
    bundle, client = served
    request, items = columns(bundle, TEXTS)
    expected_NC = open_bundle(bundle).predict_proba(items)
    reply = client.predict(**request)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    got_NC = rows(reply, bundle.labels)
    np.testing.assert_allclose(got_NC, expected_NC, rtol=0, atol=1e-5)
    assert np.array_equal(got_NC, got_NC.astype(np.float32)), "a float32 comes through JSON unchanged"


def test_one_text_gets_the_same_answer_as_in_a_list(served):
    bundle, client = served
    request, _ = columns(bundle, TEXTS)
    many = client.predict(**request).json
    assert (many["model"], many["digest"]) == (bundle.name, bundle.digest)
    for number, expected in enumerate(many["predictions"]):
        single = {key.replace("texts", "text"): values[number] for key, values in request.items()}
        got = client.predict(**single).json
        assert (got.pop("model"), got.pop("digest")) == (bundle.name, bundle.digest)
        assert got.keys() == expected.keys() == {"prediction", "probability", "probabilities", "truncated"}
        assert got["prediction"] == expected["prediction"]
        assert got["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)


def test_the_prediction_is_that_of_the_predictor(served):
    bundle, client = served
    request, items = columns(bundle, TEXTS)
    answers = client.predict(**request).json["predictions"]
    for answer, expected in zip(answers, open_bundle(bundle).predict(items), strict=True):
        label = list(expected.label) if isinstance(expected.label, tuple) else expected.label
        assert answer["prediction"] == label
        assert answer["probability"] == pytest.approx(expected.probability, abs=1e-5)


def ranked(answer):
    return [{"score": share, "label": label} for label, share in sorted(answer.items(), key=lambda one: -one[1])]


def test_inputs_are_answered_as_text_embeddings_inference_answers_them(served):
    bundle, client = served
    request, items = columns(bundle, TEXTS)
    expected = [ranked(one["probabilities"]) for one in client.predict(**request).json["predictions"]]
    batch = [list(item) if isinstance(item, tuple) else [item] for item in items]
    assert client.predict(inputs=batch).json == expected
    for inputs in (batch[0], items[0]):
        got = client.predict(inputs=inputs).json
        assert [one["label"] for one in got] == [one["label"] for one in expected[0]]
        assert [one["score"] for one in got] == pytest.approx([one["score"] for one in expected[0]], abs=1e-5)
    assert client.predict(inputs=batch[:1]).json == [client.predict(inputs=batch[0]).json]
    best = expected[0][0]["score"]
    assert client.predict(inputs=batch, top_k=1).json == [one[:1] for one in expected]
    assert client.predict(inputs=batch[0], threshold=min(1, best + 1e-3)).json == []


@pytest.mark.parametrize("kind", ["ngram", "multi_label"])
def test_raw_scores_give_back_the_probabilities(served_bundles, kind):
    bundle, client = served_bundles[kind]
    raw = {one["label"]: one["score"] for one in client.predict(inputs="很快，好吃", raw_scores=True).json}
    scores = np.array([raw[label] for label in bundle.labels])
    expected = client.predict(text="很快，好吃").json["probabilities"]
    got = np.exp(scores) / np.exp(scores).sum() if kind == "ngram" else 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(got, [expected[label] for label in bundle.labels], atol=1e-6)


def test_probabilities_can_be_left_out(served_bundles):
    _, client = served_bundles["ngram"]
    one = client.predict(text="a", return_probabilities=False).json
    assert one.keys() == {"prediction", "probability", "model", "digest", "truncated"}
    many = client.predict(texts=["a", "b"], return_probabilities=False).json
    assert [answer.keys() for answer in many["predictions"]] == [{"prediction", "probability", "truncated"}] * 2


def test_many_clients_at_once_each_get_their_own_answer(served_bundles):
    bundle, client = served_bundles["ngram"]
    texts = [f"文本 {number} text" for number in range(200)]
    expected_NC = open_bundle(bundle).predict_proba(texts)
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda text: client.predict(text=text), texts))
    got_NC = np.array([[reply.json["probabilities"][label] for label in bundle.labels] for reply in replies])
    np.testing.assert_allclose(got_NC, expected_NC, rtol=0, atol=1e-5)


def test_a_body_in_any_legal_json_spelling_is_read(served_bundles):
    _, client = served_bundles["ngram"]
    expected = client.predict(text='好 "x" \U0001f600').json
    for body in (
        json.dumps({"text": '好 "x" \U0001f600'}, ensure_ascii=False).encode(),
        b' \r\n\t{ "text" :\n"\\u597d \\"x\\" \\ud83d\\ude00" } \n',
        b'{"\\u0074ext":"\\u597D \\u0022x\\u0022 \\uD83D\\uDE00"}',
    ):
        assert client.predict_bytes(body).json == expected


def test_models_describes_the_bundle(served):
    bundle, client = served
    (shown,) = client.get("/v1/models").json["models"]
    assert shown == {
        "name": bundle.name,
        "digest": bundle.digest,
        "task": bundle.task,
        "labels": bundle.labels,
        "format": bundle.format,
        "model": bundle.model,
        "max_length": bundle.max_length,
        "size_bytes": bundle.size_bytes,
        "figures": {},
        "watches_inputs": False,
        "inputs_changed": False,
        "card": "",
        "streams": False,
    }


def test_health_and_readiness(served_bundles):
    _, client = served_bundles["ngram"]
    assert client.get("/livez").json == {"status": "alive"}
    assert client.get("/readyz").json == {"status": "ready"}


def test_the_setting_of_long_texts_reaches_the_model(bundles, serving, caplog):
    with serving(bundles["ngram"], long_texts="windows") as client:
        assert client.predict(text="好").status == 200
    assert sum("long_texts has no effect" in message for message in caplog.messages) == 1


@pytest.mark.parametrize(
    ("accepted", "language", "title"),
    [
        (None, "en", "The body has an unknown key."),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "请求体中有未知的键。"),
        ("en-US,en;q=0.9,zh;q=0.8", "en", "The body has an unknown key."),
    ],
)
def test_a_problem_is_told_in_the_language_that_is_asked_for(served_bundles, accepted, language, title):
    _, client = served_bundles["ngram"]
    headers = {"content-type": "application/json"} | ({"accept-language": accepted} if accepted else {})
    reply = client.ask("POST", "/predict", b'{"text":"a","other":1}', headers)
    assert (reply.json["code"], reply.json["title"], reply.headers["content-language"]) == (
        "unknown_key",
        title,
        language,
    )
    assert "accept-language" in reply.headers["vary"]
    # Names stay as they are, and the key of the client is not repeated.
    assert "return_probabilities" in reply.json["detail"]
    assert "other" not in reply.json["detail"]


def test_a_service_has_a_language_of_its_own(cascade, serving):
    with serving(cascade, language="zh") as client:
        assert client.get("/nothing").json["title"] == "没有这样的路由或模型。"
        assert client.ask("GET", "/nothing", None, {"accept-language": "en"}).json["title"].startswith("There is no")
        (model,) = client.get("/v1/models").json["models"]
        assert "| 任务 | single_label |" in model["card"]
        (model,) = client.ask("GET", "/v1/models", None, {"accept-language": "en"}).json["models"]
        assert "| Task | single_label |" in model["card"]
