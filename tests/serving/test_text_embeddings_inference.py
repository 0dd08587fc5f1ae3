"""The requests of text-embeddings-inference's documentation, answered in its shapes."""

from __future__ import annotations

import json

import pytest

from yanmo.artifacts import Bundle
from yanmo.serving.predict import check_read
from yanmo.serving.problems import Problem, encode_problem
from yanmo.serving.schemas import Answer


def is_ranked(scores, labels):
    assert sorted(one["label"] for one in scores) == sorted(labels)
    assert [one["score"] for one in scores] == sorted((one["score"] for one in scores), reverse=True)
    return all(one.keys() == {"score", "label"} for one in scores)


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_one_text_and_a_batch_are_answered_by_scores(served_bundles, ask_json, path):
    bundle, client = served_bundles["ngram"]
    assert is_ranked(ask_json(client, path, inputs="I like you.").json, bundle.labels)
    batch = ask_json(client, path, inputs=[["I like you."], ["I hate pineapples"]]).json
    assert [is_ranked(scores, bundle.labels) for scores in batch] == [True, True]


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_pairs_are_answered_where_the_model_reads_pairs(served_bundles, ask_json, path):
    bundle, client = served_bundles["text_pair"]
    assert is_ranked(ask_json(client, path, inputs=["a", "b"]).json, bundle.labels)
    (scores,) = ask_json(client, path, inputs=[["a", "b"]]).json
    assert is_ranked(scores, bundle.labels)
    _, other = served_bundles["ngram"]
    assert ask_json(other, path, inputs=[["a", "b"]]).json["error_type"] == "Validation"


def test_every_option_is_taken(served_bundles, ask_json):
    _, client = served_bundles["ngram"]
    for direction in ("Left", "Right"):
        options = {"truncate": True, "truncation_direction": direction, "raw_scores": True}
        assert ask_json(client, "/predict", inputs="a", **options).status == 200


def test_a_text_is_not_cut_at_another_end_than_was_asked():
    whole, cut = Answer("a", 1.0), Answer("a", 1.0, truncated=True)
    check_read([whole, whole], "it is so")
    with pytest.raises(Problem, match="text_too_long") as caught:
        check_read([whole, cut], "it is so")
    assert caught.value.detail == "The model does not read all of text 1, and it is so."


@pytest.mark.parametrize(
    ("values", "status", "error_type"),
    [
        ({"inputs": []}, 400, "Empty"),
        ({"inputs": 1}, 400, "Validation"),
        ({"inputs": "a", "truncation_direction": "Middle"}, 400, "Validation"),
        ({"inputs": "a" * 20_001}, 400, "Validation"),
    ],
)
def test_what_is_wrong_is_told_by_error_and_error_type(served_bundles, ask_json, values, status, error_type):
    _, client = served_bundles["ngram"]
    reply = ask_json(client, "/", **values)
    assert (reply.status, reply.json["error_type"]) == (status, error_type)
    assert reply.json["error"] == reply.json["detail"]


@pytest.mark.parametrize(
    ("code", "error_type"),
    [("queue_full", "Overloaded"), ("not_ready", "Unhealthy"), ("internal_error", "Backend"), ("no_key", "Validation")],
)
def test_every_problem_has_its_error_type(code, error_type):
    assert json.loads(encode_problem(Problem(code, "")))["error_type"] == error_type


def test_a_model_is_introduced_and_says_that_it_is_well(served_bundles):
    bundle, client = served_bundles["ngram"]
    told = client.get("/info").json
    assert told["model_type"]["classifier"] == {
        "id2label": {"0": "0", "1": "1", "2": "负面"},
        "label2id": {"0": 0, "1": 1, "负面": 2},
    }
    assert (told["model_id"], told["model_sha"]) == (bundle.name, Bundle.open(bundle.path).digest)
    assert (told["max_input_length"], told["max_client_batch_size"]) == (20_000, 1024)
    assert client.get("/health").status == 200


def test_a_model_that_is_not_ready_is_unhealthy(bundles, serving):
    with serving(bundles["ngram"]) as client:
        client.service.drain()
        reply = client.get("/health")
        assert (reply.status, reply.json["error_type"]) == (503, "Unhealthy")
