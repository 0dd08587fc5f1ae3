"""Chats, text-generation-inference's way to ask, and scores."""

import math

import pytest

import yanmo
from yanmo.text.growing import GrowingText


def test_a_chat_is_the_completion_of_its_template(writing, ask_json, talker_bundle):
    options = {"model": "talker", "max_tokens": 9, "seed": 3, "top_k": 20}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "a "}, {"type": "text", "text": "cat"}]},
    ]
    chat = ask_json(writing, "/v1/chat/completions", messages=messages, **options).json
    with yanmo.load_writer(talker_bundle.path, num_threads=1) as writer:
        # No token that begins texts stands before a conversation: the template says all.
        tokens = writer.tokens("user: hi\nassistant: a cat\nassistant:")[1:]
    expected = ask_json(writing, "/v1/completions", prompt=tokens, **options).json
    (choice,) = chat["choices"]
    assert chat["object"] == "chat.completion"
    assert choice["message"] == {"role": "assistant", "content": expected["choices"][0]["text"]}
    assert chat["usage"] == expected["usage"]


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("wrong_model", {"model": "writer"}),
        ("wrong_option", {"messages": [{"role": "system", "content": ""}]}),
        ("wrong_type", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        ("wrong_type", {"messages": []}),
        ("wrong_option", {"top_logprobs": 2}),
        ("prompt_too_long", {"messages": [{"role": "user", "content": "x" * 100}]}),
        ("unknown_key", {"tools": []}),
    ],
)
def test_a_chat_that_cannot_be_is_refused(writing, ask_json, code, body):
    asked = {"model": "talker", "messages": [{"role": "user", "content": "hi"}], **body}
    reply = ask_json(writing, "/v1/chat/completions", **asked)
    assert (reply.status, reply.json["error"]["code"]) == (400, code)


def test_generate_takes_the_likeliest_tokens_unless_it_is_asked_to_draw(writing, ask_json):
    options = {"prompt": "the cat", "max_tokens": 7}
    greedy = ask_json(writing, "/v1/completions", temperature=0, **options).json["choices"][0]["text"]
    drawn = ask_json(writing, "/v1/completions", top_k=9, seed=4, **options).json["choices"][0]["text"]
    asked = {"inputs": "the cat", "parameters": {"max_new_tokens": 7}}
    assert ask_json(writing, "/generate", **asked).json == {"generated_text": greedy}
    asked["parameters"] |= {"top_k": 9, "seed": 4, "return_full_text": True}
    assert ask_json(writing, "/generate", **asked).json == {"generated_text": "the cat" + drawn}
    assert (
        ask_json(writing, "/generate", inputs="a", parameters={"watermark": True}).json["error"]["code"]
        == "unknown_key"
    )


def test_scores_are_those_of_the_predictor(writing, ask_json, decoder_bundle):
    texts = ["the cat sat.", "猫", ""]
    told = ask_json(writing, "/score", texts=texts).json
    with yanmo.load(decoder_bundle.path, num_threads=1) as predictor:
        expected = predictor.infer(texts)[0].sums_N()
    assert [one["log_likelihood"] for one in told["scores"]] == pytest.approx(expected.tolist(), abs=1e-3)
    first = told["scores"][0]
    assert first["bits_per_character"] == pytest.approx(-expected[0] / math.log(2) / len(texts[0]), abs=1e-3)
    assert (told["scores"][2]["bits_per_character"], told["model"], told["digest"]) == (
        None,
        "writer",
        decoder_bundle.digest,
    )
    assert ask_json(writing, "/score", texts=[]).status == 400


def test_held_back_characters_are_told_once_they_are_no_stop_string(decoder_bundle):
    with yanmo.load_writer(decoder_bundle.path, num_threads=1) as writer:
        backend = writer.tokenizer.backend
        tokens = writer.tokens("a cat, 猫 sat")[1:]
        text = GrowingText(backend, stops=["cat!", "猫 ran"])
        parts = [text.push([token]) for token in tokens] + [text.push([], is_last=True)]
    assert "".join(parts) == text.text == "a cat, 猫 sat"
    assert not text.is_stopped
    assert text.ends[-1] == len(text.text)
