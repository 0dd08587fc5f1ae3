"""What SageMaker, Vertex AI, MLflow and KServe v1 send, told apart by the keys of the body."""

from __future__ import annotations

import json

import pytest

from yanmo.serving.invocations import decode_invocation
from yanmo.serving.problems import Problem
from yanmo.serving.requests import Limits

ONE, TWO = Limits(1, 3, 10), Limits(2, 3, 10)


def decode(limits, **values):
    return decode_invocation(json.dumps(values).encode(), limits)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"instances": ["a", "b"]}, ["a", "b"]),
        ({"instances": [["a"], {"text": "b"}], "signature_name": "serving_default"}, ["a", "b"]),
        ({"instances": [{"inputs": "a"}, {"inputs": ["b"]}]}, ["a", "b"]),
        ({"dataframe_split": {"columns": ["text"], "index": [0, 1], "data": [["a"], ["b"]]}}, ["a", "b"]),
        ({"dataframe_split": {"columns": ["id", "text"], "data": [["1", "a"], ["2", "b"]]}}, ["a", "b"]),
        ({"dataframe_records": [{"text": "a", "more": "x"}, {"text": "b", "more": "y"}]}, ["a", "b"]),
        ({"dataframe_records": [{"review": "a"}, {"review": "b"}]}, ["a", "b"]),
        ({"inputs": {"text": ["a", "b"]}}, ["a", "b"]),
        ({"inputs": ["a", "b"]}, ["a", "b"]),
        ({"texts": ["a", "b"]}, ["a", "b"]),
    ],
)
def test_one_text_at_a_time(values, texts):
    assert decode(ONE, **values).texts == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"instances": [["a", "b"], {"text": "c", "text_b": "d"}]}, [("a", "b"), ("c", "d")]),
        ({"instances": [{"inputs": ["a", "b"]}]}, [("a", "b")]),
        ({"dataframe_split": {"columns": ["text_b", "text"], "data": [["b", "a"]]}}, [("a", "b")]),
        ({"dataframe_split": {"columns": ["question", "answer"], "data": [["a", "b"]]}}, [("a", "b")]),
        ({"dataframe_records": [{"text_b": "b", "text": "a"}]}, [("a", "b")]),
        ({"inputs": {"text_b": ["b"], "text": ["a"]}}, [("a", "b")]),
    ],
)
def test_pairs(values, texts):
    assert decode(TWO, **values).texts == texts


@pytest.mark.parametrize(
    ("values", "limits", "code"),
    [
        ({"instances": []}, ONE, "no_texts"),
        ({"instances": ["a"] * 4}, ONE, "too_many_texts"),
        ({"instances": ["a" * 11]}, ONE, "text_too_long"),
        ({"instances": [1]}, ONE, "wrong_type"),
        ({"instances": "a"}, ONE, "wrong_type"),
        ({"instances": [["a", "b"]]}, ONE, "wrong_pair"),
        ({"instances": ["a"]}, TWO, "wrong_pair"),
        ({"instances": [{"text_b": "a"}]}, TWO, "wrong_pair"),
        ({"instances": [{}]}, ONE, "wrong_pair"),
        ({"instances": [{"inputs": "a", "text": "a"}]}, ONE, "wrong_pair"),
        ({"instances": [{"inputs": "a"}, "a"]}, ONE, "wrong_option"),
        ({"instances": [{"content": "a"}]}, ONE, "wrong_type"),
        ({"instances": ["a"], "parameters": {"top_n": 1}}, ONE, "wrong_type"),
        ({"instances": ["a"], "parameters": {}, "params": {}}, ONE, "wrong_option"),
        ({"instances": ["a"], "inputs": {"text": ["a"]}}, ONE, "text_or_texts"),
        ({"instances": ["a"], "text": "a"}, ONE, "wrong_type"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [["a", "b"]]}}, ONE, "wrong_pair"),
        ({"dataframe_split": {"columns": ["text", "b"], "data": [["a"]]}}, ONE, "wrong_pair"),
        ({"dataframe_split": {"columns": [], "data": [[]]}}, ONE, "wrong_pair"),
        ({"dataframe_split": {"columns": ["text"], "data": [[1]]}}, ONE, "wrong_type"),
        ({"dataframe_records": [{}]}, ONE, "wrong_pair"),
        ({"inputs": {"text": ["a"], "text_b": []}}, TWO, "wrong_pair"),
        ({"nothing": 1}, ONE, "unknown_key"),
    ],
)
def test_what_breaks_a_rule_has_its_code(values, limits, code):
    with pytest.raises(Problem) as caught:
        decode(limits, **values)
    assert caught.value.code == code


@pytest.mark.parametrize("body", [b"[", b"\xff", b"[" * 100_000, b'{"instances":["a"],"instances":["b"]}', b"[]", b""])
def test_a_body_that_is_no_json_or_has_a_key_twice_is_refused(body):
    with pytest.raises(Problem) as caught:
        decode_invocation(body, ONE)
    assert caught.value.code in {"invalid_json", "duplicate_key", "wrong_type"}


@pytest.mark.parametrize("path", ["/invocations", "/v1/models/ngram:predict"])
def test_predictions_are_answered_as_many_texts_are(served_bundles, ask_json, path):
    _, client = served_bundles["ngram"]
    expected = client.predict(texts=["很快", "too slow"], top_k=1).json
    told = ask_json(client, path, instances=["很快", "too slow"], parameters={"top_k": 1})
    assert (told.status, told.json) == (200, expected)
    table = {"columns": ["text"], "data": [["很快"], ["too slow"]]}
    assert ask_json(client, path, dataframe_split=table, params={"top_k": 1}).json == expected
    scores = ask_json(client, path, inputs=[["很快"], ["too slow"]]).json
    assert ask_json(client, path, instances=[{"inputs": "很快"}, {"inputs": "too slow"}]).json == {
        "predictions": scores
    }
    assert ask_json(client, path, text="很快").json == client.predict(text="很快").json
    assert client.get("/ping").status == 200
