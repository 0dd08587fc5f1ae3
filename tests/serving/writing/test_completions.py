"""``POST /v1/completions``: what OpenAI's clients send, one row a case."""

import json
import subprocess

import pytest

from yanmo.runtimes.generating.writer import open_writer

PROMPT = "the cat"


@pytest.fixture
def complete(writing, ask_json):
    def ask(**body):
        return ask_json(writing, "/v1/completions", **{"prompt": PROMPT, "seed": 1, **body})

    return ask


OPENAI = """
import json, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
asked = {"model": "writer", "prompt": "the cat", "seed": 5, "max_tokens": 12}
whole = client.completions.create(**asked)
parts = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
many = client.completions.create(**{**asked, "prompt": ["the cat", "a dog"]}, n=2, logprobs=2, echo=True)
told = {
    "models": [one.id for one in client.models.list()],
    "whole": whole.choices[0].text,
    "usage": whole.usage.model_dump(exclude_none=True),
    "streamed": "".join(one.choices[0].text for one in parts if one.choices),
    "last": parts[-1].usage.model_dump(exclude_none=True),
    "many": [[one.index, one.text, len(one.logprobs.tokens), len(one.logprobs.text_offset)] for one in many.choices],
    "errors": [],
}
for wrong in ({"temperature": -1}, {"model": "other"}, {"extra_body": {"unknown": 1}}, {"prompt": "x" * 200}):
    try:
        client.completions.create(**{**asked, **wrong})
    except openai.APIStatusError as error:
        told["errors"].append([type(error).__name__, error.code, error.type])
chat = {"model": "talker", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "seed": 2}
answer = client.chat.completions.create(**chat, logprobs=True, top_logprobs=2)
told["chat"] = answer.choices[0].message.content
told["tokens"] = [[len(one.top_logprobs), one.logprob <= 0] for one in answer.choices[0].logprobs.content]
events = client.chat.completions.create(**chat, stream=True)
told["chat_streamed"] = "".join(one.choices[0].delta.content or "" for one in events)
print(json.dumps(told))
"""


def test_the_openai_client_works_unchanged(writing, clients_bin):
    command = [clients_bin / "python", "-c", OPENAI, f"http://127.0.0.1:{writing.port}/v1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["models"] == ["writer", "talker"]
    assert told["whole"] == told["streamed"] != ""
    assert told["usage"] == told["last"] == {"completion_tokens": 12, "prompt_tokens": 3, "total_tokens": 15}
    assert [index for index, *_ in told["many"]] == [0, 1, 2, 3]
    assert [text[:5] for _, text, *_ in told["many"]] == ["the c", "the c", "a dog", "a dog"]
    assert all(tokens == offsets for *_, tokens, offsets in told["many"])
    assert told["errors"] == [
        ["BadRequestError", "wrong_type", "invalid_request_error"],
        ["NotFoundError", "not_found", "not_found_error"],
        ["BadRequestError", "unknown_key", "invalid_request_error"],
        ["BadRequestError", "prompt_too_long", "invalid_request_error"],
    ]
    assert told["chat"] == told["chat_streamed"] != ""
    assert told["tokens"] == [[2, True]] * 8


def test_texts_are_those_of_the_writer(complete, decoder_bundle):
    found = [one["text"] for one in complete(max_tokens=10, n=3, top_p=0.9, prompt=[PROMPT, "猫"]).json["choices"]]
    with open_writer(decoder_bundle, num_threads=1) as writer:
        written = writer.write([PROMPT, "猫"], max_new_tokens=10, n=3, top_p=0.9, seed=1)
    assert found == [one.text for texts in written for one in texts]


@pytest.mark.parametrize("seed", range(25))
def test_a_stream_has_whole_characters_and_the_text_that_is_told_at_once(complete, writing, read_stream, seed):
    options = {"seed": seed, "max_tokens": 40, "temperature": 1.5}
    texts, endings, events = read_stream(writing, prompt=PROMPT, **options)
    (whole,) = complete(**options).json["choices"]
    assert texts == {0: whole["text"]}
    assert endings == {0: whole["finish_reason"]}
    assert "\ufffd" not in texts[0]
    assert all(event["choices"][0]["text"] or event["choices"][0]["finish_reason"] for event in events)


def test_a_text_ends_before_a_stop_string_wherever_tokens_cut_it(complete, writing, read_stream):
    free = complete(max_tokens=30).json["choices"][0]["text"]
    for start in range(1, min(len(free) - 3, 12)):
        stop = free[start : start + 3]
        expected = free[: free.find(stop)]
        reply = complete(max_tokens=30, stop=[stop, "never"])
        assert reply.status == 200, (stop, reply.json)
        (choice,) = reply.json["choices"]
        assert (choice["text"], choice["finish_reason"]) == (expected, "stop")
        texts, endings, _ = read_stream(writing, prompt=PROMPT, seed=1, max_tokens=30, stop=stop)
        assert (texts, endings) == ({0: expected}, {0: "stop"})


def test_what_may_be_a_stop_string_and_is_none_is_told_at_the_end(complete):
    free = complete(max_tokens=10).json["choices"][0]["text"]
    (choice,) = complete(max_tokens=10, stop=free[-2:] + "\x00never").json["choices"]
    assert (choice["text"], choice["finish_reason"]) == (free, "length")


def test_prompts_of_tokens_are_read_as_they_are(complete, decoder_bundle):
    with open_writer(decoder_bundle, num_threads=1) as writer:
        tokens = writer.tokens(PROMPT)
    text = complete().json
    for prompt in (tokens, [tokens]):
        same = complete(prompt=prompt).json
        assert same["choices"] == text["choices"]
        # The token that begins every text is the client's own here.
        assert same["usage"]["prompt_tokens"] == text["usage"]["prompt_tokens"] + 1
    assert complete(prompt=tokens[1:]).json["choices"] != text["choices"]


def test_an_echo_tells_the_likelihoods_of_the_prompt(complete, ask_json, writing):
    (choice,) = complete(prompt="a dog, the", max_tokens=0, echo=True, logprobs=3).json["choices"]
    logprobs = choice["logprobs"]
    assert choice["text"] == "a dog, the" == "".join(logprobs["tokens"])
    assert logprobs["text_offset"][:2] == [0, len(logprobs["tokens"][0])]
    assert [len(best) for best in logprobs["top_logprobs"]] == [3] * len(logprobs["tokens"])
    (told,) = ask_json(writing, "/score", texts=["a dog, the"], model="writer").json["scores"]
    assert sum(logprobs["token_logprobs"]) == pytest.approx(told["log_likelihood"], abs=1e-4)
    (longer,) = complete(prompt="a dog, the", max_tokens=3, echo=True, logprobs=0).json["choices"]
    assert longer["text"].startswith("a dog, the")
    assert longer["logprobs"]["token_logprobs"][: len(logprobs["tokens"])] == logprobs["token_logprobs"]
    assert len(longer["logprobs"]["tokens"]) == len(logprobs["tokens"]) + 3


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        ({"guided_choice": ["yes", "no"]}, lambda text: text in {"yes", "no"}),
        ({"guided_regex": "[a-c]{4}"}, lambda text: len(text) == 4 and set(text) <= set("abc")),
        (
            {"guided_json": {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}},
            lambda text: json.loads(text)["a"] in {1, 2},
        ),
        (
            {
                "response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": ["猫", "狗"]}}},
            },
            lambda text: json.loads(text) in {"猫", "狗"},
        ),
    ],
    ids=["choice", "regex", "json", "response_format"],
)
def test_a_text_has_the_form_that_is_asked(complete, options, matches):
    for seed in range(3):
        (choice,) = complete(max_tokens=60, seed=seed, temperature=0.3, **options).json["choices"]
        assert choice["finish_reason"] == "length" or matches(choice["text"]), choice
        assert choice["finish_reason"] == "stop" or "guided_json" in options


def test_likelier_tokens_win_by_bias_and_lose_by_penalties(complete, decoder_bundle):
    with open_writer(decoder_bundle, num_threads=1) as writer:
        token = writer.tokens("cat")[-1]
    assert complete(logit_bias={str(token): 100}, max_tokens=3).json["choices"][0]["text"] == "catcatcat"
    free = complete(logit_bias={str(token): 9}, max_tokens=8, temperature=0, frequency_penalty=2, presence_penalty=2)
    assert 0 < free.json["choices"][0]["text"].count("cat") < 8


WRONG = {
    "no JSON": ("invalid_json", b"{"),
    "a key twice": ("duplicate_key", b'{"prompt": "a", "prompt": "b"}'),
    "an unknown key": ("unknown_key", {"foo": 1}),
    "a temperature below 0": ("wrong_type", {"temperature": -0.1}),
    "top_p of 0": ("wrong_type", {"top_p": 0}),
    "n of 0": ("wrong_type", {"n": 0}),
    "a negative length": ("wrong_type", {"max_tokens": -1}),
    "nothing to tell": ("wrong_option", {"max_tokens": 0}),
    "a seed that is a text": ("wrong_type", {"seed": "1"}),
    "a prompt of texts and tokens": ("wrong_type", {"prompt": ["a", 1]}),
    "no prompt": ("wrong_type", {"prompt": []}),
    "a token that there is not": ("wrong_type", {"prompt": [1, 1000]}),
    "a negative token": ("wrong_type", {"prompt": [-1]}),
    "a prompt that is too long": ("prompt_too_long", {"prompt": "x" * 100}),
    "tokens that are too many": ("prompt_too_long", {"prompt": [1] * 64}),
    "bias for a word": ("wrong_type", {"logit_bias": {"cat": 1}}),
    "bias for no token": ("wrong_type", {"logit_bias": {"1000": 1}}),
    "bias that is too large": ("wrong_type", {"logit_bias": {"1": 1000}}),
    "too many stop strings": ("wrong_type", {"stop": ["a"] * 17}),
    "another best_of": ("wrong_option", {"best_of": 3}),
    "a suffix": ("wrong_option", {"suffix": "end"}),
    "an echo in a stream": ("wrong_option", {"echo": True, "stream": True}),
    "options of no stream": ("wrong_option", {"stream_options": {"include_usage": True}}),
    "a broken expression": ("wrong_grammar", {"guided_regex": "(ab"}),
    "a schema that nothing meets": ("wrong_grammar", {"guided_json": {"type": "integer", "minimum": 2, "maximum": 1}}),
    "two forms": ("wrong_option", {"guided_regex": "a", "guided_choice": ["a"]}),
    "no choice": ("wrong_type", {"guided_choice": []}),
}


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_openais_form_also_where_a_stream_is_asked(writing, ask_json, name, is_stream):
    code, body = WRONG[name]
    if isinstance(body, bytes):
        reply = writing.ask("POST", "/v1/completions", body, {"content-type": "application/json"})
    elif is_stream and "stream_options" not in body:
        reply = ask_json(writing, "/v1/completions", **{"prompt": PROMPT, "stream": True, **body})
    else:
        reply = ask_json(writing, "/v1/completions", **{"prompt": PROMPT, **body})
    error = reply.json["error"]
    assert (reply.status, error["code"], error["type"]) == (400, code, "invalid_request_error")
    assert error["message"].count(". ") >= 1


def test_only_the_end_of_a_long_prompt_is_read_where_that_is_asked(complete, decoder_bundle):
    with open_writer(decoder_bundle, num_threads=1) as writer:
        tokens = writer.tokens("x" * 100 + "the cat")[-3:]
    long = complete(prompt="x" * 100 + "the cat", truncate_prompt_tokens=3)
    assert long.json["choices"] == complete(prompt=tokens).json["choices"]
    assert complete(prompt="x" * 200, truncate_prompt_tokens=1000).status == 200
