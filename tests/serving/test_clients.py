"""The clients of others, as they are installed: nobody here wrote what they send or what they read."""

from __future__ import annotations

import asyncio
import math

import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient, close_session
from huggingface_hub.errors import HfHubHTTPError

import yanmo


@pytest.fixture(autouse=True)
def _online(monkeypatch):
    """The tests keep this package from the network; its client of a service is part of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield
    close_session()


@pytest.fixture(params=["sync", "async"])
def classify(request):
    """Ask with the Hugging Face client, in both of its kinds."""

    def ask(client, text, token=None, **options):
        url = f"http://127.0.0.1:{client.port}"
        if request.param == "sync":
            return InferenceClient(model=url, token=token).text_classification(text, **options)
        return asyncio.run(ask_async(url, text, token, options))

    async def ask_async(url, text, token, options):
        async with AsyncInferenceClient(model=url, token=token) as asking:
            return await asking.text_classification(text, **options)

    return ask


def shares(client, text):
    return client.predict(text=text).json["probabilities"]


def test_hugging_face_gets_names_with_their_places(taggers):
    text = "😀 Anna went to Rome. 小明去武汉。"
    asking = InferenceClient(model=f"http://127.0.0.1:{taggers.port}", token=None)
    found = asking.token_classification(text)
    expected = taggers.predict(text=text).json["entities"]
    told = [(one.entity_group, one.start, one.end, one.score, one.word) for one in found]
    assert told == [tuple(one[key] for key in ("entity_group", "start", "end", "score", "word")) for one in expected]
    assert {"Anna", "Rome", "武汉"} <= {one.word for one in found}
    assert all(text[one.start : one.end] == one.word for one in found)
    places = asking.token_classification(text, ignore_labels=["person"], aggregation_strategy="simple")
    assert [one.word for one in places] == [one.word for one in found if one.entity_group == "place"]
    with pytest.raises(HfHubHTTPError, match="aggregation_strategy|of entities"):
        asking.token_classification(text, aggregation_strategy="none")


@pytest.mark.parametrize("name", ["ngram", "multi_label"])
def test_hugging_face_gets_the_labels_most_probable_first(served_bundles, classify, name):
    _, client = served_bundles[name]
    found = classify(client, "很快，好吃")
    assert {one.label: one.score for one in found} == shares(client, "很快，好吃")
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert [one.label for one in classify(client, "很快，好吃", top_k=1)] == [found[0].label]
    assert len(classify(client, "很快，好吃", top_k=9)) == len(found)


@pytest.mark.parametrize("name", ["ngram", "multi_label"])
def test_the_function_of_hugging_face_is_applied_to_the_scores(served_bundles, classify, name):
    _, client = served_bundles[name]
    told = {
        function: {one.label: one.score for one in classify(client, "太慢了", function_to_apply=function)}
        for function in ("softmax", "sigmoid", "none")
    }
    scores, usual = told["none"], shares(client, "太慢了")
    total = sum(map(math.exp, scores.values()))
    assert told["softmax"] == pytest.approx({label: math.exp(score) / total for label, score in scores.items()})
    # Where labels exclude each other, scores are known up to a constant, and sigmoid takes those with the mean 0.
    mean = sum(scores.values()) / len(scores) if name == "ngram" else 0
    sigmoid = {label: 1 / (1 + math.exp(mean - score)) for label, score in scores.items()}
    assert told["sigmoid"] == pytest.approx(sigmoid)
    assert told["softmax" if name == "ngram" else "sigmoid"] == pytest.approx(usual, rel=1e-6)


def test_hugging_face_sends_its_token_as_the_key_and_shows_what_is_wrong(bundles, serving, classify, tmp_path):
    file = tmp_path / "keys.toml"
    secret = yanmo.key(label="web", file=file).secret
    with serving(bundles["ngram"], api_keys=str(file)) as client:
        assert len(classify(client, "a", secret)) == 3
        with pytest.raises(HfHubHTTPError, match="Send a key that the service knows"):
            classify(client, "a", "wrong")
