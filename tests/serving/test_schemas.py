"""What a request may hold."""

from __future__ import annotations

import json

import pytest

from yanmo.serving.problems import Problem
from yanmo.serving.requests import EXPECTED, Limits, decode_request
from yanmo.serving.schemas import PredictBody

ONE = Limits(num_columns=1, max_texts=3, max_characters=10)
TWO = Limits(num_columns=2, max_texts=3, max_characters=10)


def body(**values: object) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode()


def code_of(raw: bytes, limits: Limits) -> str:
    with pytest.raises(Problem) as caught:
        decode_request(raw, limits)
    return caught.value.code


def test_one_text_and_many_texts():
    one = decode_request(body(text="很快"), ONE)
    assert (one.texts, one.is_single) == (["很快"], True)
    many = decode_request(body(texts=["a", ""], return_probabilities=False), ONE)
    assert (many.texts, many.is_single, many.options.return_probabilities) == (["a", ""], False, False)


@pytest.mark.parametrize(
    ("inputs", "limits", "texts", "is_single"),
    [
        ("a", ONE, ["a"], True),
        (["a"], ONE, ["a"], True),
        (["a", "b"], ONE, ["a", "b"], False),
        ([["a"], ["b"]], ONE, ["a", "b"], False),
        ([["a"]], ONE, ["a"], False),
        ([["a"], "b"], ONE, ["a", "b"], False),
        (["a", "b"], TWO, [("a", "b")], True),
        ([["a", "b"], ["c", "d"]], TWO, [("a", "b"), ("c", "d")], False),
    ],
)
def test_inputs_are_taken_as_text_embeddings_inference_takes_them(inputs, limits, texts, is_single):
    request = decode_request(body(inputs=inputs), limits)
    assert (request.texts, request.is_single) == (texts, is_single)


def test_every_option_of_text_embeddings_inference_is_taken():
    for direction in ("Right", "Left", "right", "left"):
        assert decode_request(body(inputs="a", truncation_direction=direction), ONE).texts == ["a"]
    options = {"truncate": None, "raw_scores": True}
    assert decode_request(body(inputs="a", **options), ONE).options.raw_scores is True


def test_a_whole_number_may_be_written_with_a_point():
    assert repr(decode_request(body(text="a", top_k=2.0), ONE).options.top_k) == "2"
    assert repr(decode_request(body(inputs="a", parameters={"top_k": 2.0}), ONE).options.parameters.top_k) == "2"


def test_pairs_have_a_second_column():
    assert decode_request(body(text="a", text_b="b"), TWO).texts == [("a", "b")]
    assert decode_request(body(texts=["a", "c"], texts_b=["b", "d"]), TWO).texts == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    ("values", "limits", "code"),
    [
        ({}, ONE, "text_or_texts"),
        ({"return_probabilities": True}, ONE, "text_or_texts"),
        ({"text": "a", "texts": ["a"]}, ONE, "text_or_texts"),
        ({"text_b": "a"}, TWO, "text_or_texts"),
        ({"texts": []}, ONE, "no_texts"),
        ({"texts": [], "texts_b": []}, TWO, "no_texts"),
        ({"texts": ["a"] * 4}, ONE, "too_many_texts"),
        ({"text": "a" * 11}, ONE, "text_too_long"),
        ({"texts": ["a", "好" * 11]}, ONE, "text_too_long"),
        ({"text": "a", "text_b": "b" * 11}, TWO, "text_too_long"),
        ({"text": "a", "text_b": "b"}, ONE, "wrong_pair"),
        ({"texts": ["a"], "texts_b": ["b"]}, ONE, "wrong_pair"),
        ({"text": "a"}, TWO, "wrong_pair"),
        ({"texts": ["a"]}, TWO, "wrong_pair"),
        ({"text": "a", "texts_b": ["b"]}, TWO, "wrong_pair"),
        ({"texts": ["a"], "text_b": "b"}, TWO, "wrong_pair"),
        ({"text": "a", "text_b": "b", "texts_b": ["b"]}, TWO, "wrong_pair"),
        ({"texts": ["a", "b"], "texts_b": ["b"]}, TWO, "wrong_pair"),
        ({"txt": "a"}, ONE, "unknown_key"),
        ({"text": "a", "top_n": 1}, ONE, "unknown_key"),
        ({"text": "a", "top_k": 0}, ONE, "wrong_type"),
        ({"text": "a", "top_k": 1.5}, ONE, "wrong_type"),
        ({"inputs": "a", "parameters": {"top_k": 1.5}}, ONE, "wrong_type"),
        ({"text": "a", "threshold": 1.5}, ONE, "wrong_type"),
        ({"inputs": "a", "text": "a"}, ONE, "text_or_texts"),
        ({"inputs": "a", "return_probabilities": True}, ONE, "wrong_option"),
        ({"text": "a", "raw_scores": False}, ONE, "wrong_option"),
        ({"texts": ["a"], "truncation_direction": "Right"}, ONE, "wrong_option"),
        ({"inputs": "a", "truncation_direction": "Middle"}, ONE, "wrong_type"),
        ({"inputs": "a", "raw_scores": None}, ONE, "wrong_type"),
        ({"inputs": [["a", "b"]]}, ONE, "wrong_pair"),
        ({"inputs": "a"}, TWO, "wrong_pair"),
        ({"inputs": [["a", "b"], ["a"]]}, TWO, "wrong_pair"),
        ({"text": "a", "parameters": {}}, ONE, "wrong_option"),
        ({"inputs": "a", "parameters": {"top_k": 1}, "top_k": 1}, ONE, "wrong_option"),
        ({"inputs": "a", "parameters": {}, "raw_scores": True}, ONE, "wrong_option"),
        ({"inputs": "a", "parameters": {"top_n": 1}}, ONE, "unknown_key"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, ONE, "wrong_type"),
        ({"inputs": "a", "parameters": {"function_to_apply": "tanh"}}, ONE, "wrong_type"),
        ({"inputs": "a", "parameters": []}, ONE, "wrong_type"),
        ({"inputs": []}, ONE, "no_texts"),
        ({"inputs": []}, TWO, "no_texts"),
        ({"inputs": ["a"] * 4}, ONE, "too_many_texts"),
        ({"inputs": "a" * 11}, ONE, "text_too_long"),
        ({"text": None}, ONE, "wrong_type"),
        ({"text": 1}, ONE, "wrong_type"),
        ({"text": ["a"]}, ONE, "wrong_type"),
        ({"texts": "a"}, ONE, "wrong_type"),
        ({"texts": ["a", None]}, ONE, "wrong_type"),
        ({"text": "a", "return_probabilities": 1}, ONE, "wrong_type"),
    ],
)
def test_what_breaks_a_rule_has_its_own_code(values, limits, code):
    assert code_of(body(**values), limits) == code


def test_the_limits_themselves_are_allowed():
    assert len(decode_request(body(texts=["x" * 10] * 3), ONE).texts) == 3


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b'{"texts":["a",{"secret":1}]}', "'texts' must be a list of strings. Item 1 is not a string."),
        (b'{"text":1e999}', "'text' must be a string."),
        (b'{"texts":"secret"}', "'texts' must be a list of strings."),
        (b'{"text":"a","return_probabilities":"secret"}', "'return_probabilities' must be true or false."),
        (b'["secret"]', "The body must be a JSON object."),
        (b'{"inputs":"a","parameters":{"top_k":"secret"}}', f"'parameters' must be {EXPECTED['parameters']}."),
        (b'{"`$.secret`":1}', f"The keys are: {', '.join(EXPECTED)}."),
    ],
)
def test_a_problem_names_our_key_and_the_item_but_nothing_of_the_client(raw, detail):
    with pytest.raises(Problem) as caught:
        decode_request(raw, ONE)
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    "raw",
    [
        b'{"text":"a","text":"a"}',
        b'{"text":"a","text" :"a"}',
        b'{"text":"a",\n"text"\r\n\t :"a"}',
        b'{"text":"a","\\u0074ext":"b"}',
        b'{"texts":["a"],"texts":["b"]}',
        b'{"text":"a","return_probabilities":true,"return_probabilities":false}',
        b'{"inputs":"a","parameters":{"top_k":1,"top_k":2}}',
        b'{"inputs":"a","parameters":{"top_k":null},"parameters":{}}',
    ],
)
def test_a_key_given_twice_is_found_however_it_is_written(raw):
    assert code_of(raw, ONE) == "duplicate_key"


@pytest.mark.parametrize(
    "text",
    [":)", ": x", '"text":', 'a":1', '\\":', '\\\\":', '",\\"x":', "a:b", '"', '\\"', '":":":', '"\n:', "'text':"],
)
def test_text_that_looks_like_keys_is_only_text(text):
    limits = Limits(1, 3, 100)
    assert decode_request(json.dumps({"text": text}).encode(), limits).texts == [text]
    spaced = json.dumps({"texts": [text, text]}, indent=2).encode()
    assert decode_request(spaced, limits).texts == [text, text]


def test_every_key_of_the_body_has_its_expected_type_in_words():
    assert set(PredictBody.__struct_fields__) == set(EXPECTED)
