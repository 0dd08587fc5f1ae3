"""Prompts in, texts out: seeds, company, beams, forms, and what is refused."""

import itertools
import json

import numpy as np
import pytest

import yanmo
from yanmo.errors import ArtifactError, ConfigError, ModelError
from yanmo.runtimes.generating.constraints import Grammar, GrammarCompiler
from yanmo.text.language_tokens import LanguageTokenizer

PROMPTS = ["the cat", "一只狗", "", "a dog, the dog! and a very long prompt"]


@pytest.fixture(scope="module")
def writer(decoder_bundle):
    with yanmo.load_writer(decoder_bundle.path, num_threads=1, num_rows=3) as opened:
        yield opened


def test_a_seed_gives_one_text_in_any_company_and_number(writer, decoder_bundle):
    options = {"max_new_tokens": 15, "seed": 11, "top_p": 0.9, "n": 3}
    together = writer.write(PROMPTS, **options)
    for prompt, texts in zip(PROMPTS, together, strict=True):
        assert writer.write([prompt], **options) == [texts]
        assert len({one.text for one in texts}) == 3
    with yanmo.load_writer(decoder_bundle.path, num_threads=1, num_rows=1) as narrow:
        assert narrow.write(PROMPTS, **options) == together


def test_a_text_that_is_shown_as_it_grows_is_the_same(writer):
    (told,) = writer.write(["the cat"], max_new_tokens=30, seed=3)[0]
    parts = list(writer.stream("the cat", max_new_tokens=30, seed=3))
    assert "".join(parts) == told.text
    assert len(parts) > 5
    # One that is left in the middle leaves its place.
    next(writer.stream("the cat"))
    assert writer.generator.is_idle


def test_streams_side_by_side_and_texts_beside_them_lose_nothing(writer):
    options = {"max_new_tokens": 9, "temperature": 0}
    wanted = [writer.write([prompt], **options)[0][0].text for prompt in ("the cat", "a dog")]
    streams = [writer.stream(prompt, **options) for prompt in ("the cat", "a dog")]
    told = ["", ""]
    for parts in itertools.zip_longest(*streams, fillvalue=""):
        told = [text + part for text, part in zip(told, parts, strict=True)]
    assert told == wanted
    stream = writer.stream("the cat", **options)
    first = next(stream)
    assert writer.write(["a dog"], **options)[0][0].text == wanted[1]
    assert first + "".join(stream) == wanted[0]


def test_every_token_says_how_likely_it_was_and_what_it_adds(writer):
    for texts in writer.write(PROMPTS, max_new_tokens=20, n=2):
        for one in texts:
            assert len(one.ids) == len(one.log_likelihoods) == len(one.places)
            assert max(one.log_likelihoods) <= 0
            assert one.places[0][0] == 0
            assert one.places[-1][1] == len(one.text)
            assert all(before[1] == after[0] for before, after in zip(one.places, one.places[1:], strict=False))


def test_guesses_change_how_fast_a_text_is_written(writer):
    prompt = "the cat sat on the mat. the cat sat on the mat. the cat"
    options = {"max_new_tokens": 10, "temperature": 0}
    (plain,) = writer.write([prompt], **options)[0]
    (guessed,) = writer.write([prompt], num_guessed=5, **options)[0]
    assert len(guessed.ids) == len(guessed.places) == len(plain.ids)
    assert guessed.places[-1][1] == len(guessed.text)
    assert "".join(writer.stream(prompt, num_guessed=5, **options)) == guessed.text


def test_beams_are_likelier_than_greedy_and_end_before_a_stop_string(writer):
    (greedy,) = writer.write(["the cat"], max_new_tokens=8, temperature=0)[0]
    beams = writer.write(["the cat"], max_new_tokens=8, num_beams=3, n=3)[0]
    assert sum(beams[0].log_likelihoods) >= sum(greedy.log_likelihoods) - 1e-3
    assert len({tuple(one.ids) for one in beams}) == 3
    (cut,) = writer.write(["the cat"], max_new_tokens=8, num_beams=3, stop=[beams[0].text[2:4]])[0]
    assert (cut.text, cut.ending) == (beams[0].text[: beams[0].text.find(beams[0].text[2:4])], "stop")
    # What the beams have left in the rows is not taken for what was read before.
    assert writer.write(["the cat"], max_new_tokens=8, temperature=0)[0] == [greedy]


def test_a_text_has_the_form_that_is_asked(writer, tmp_path):
    schema = {"type": "object", "properties": {"age": {"enum": [1, 30]}}, "required": ["age"]}
    (tmp_path / "schema.json").write_text(json.dumps({**schema, "additionalProperties": False}))
    for one in writer.write(PROMPTS, json_schema=tmp_path / "schema.json", max_new_tokens=60, temperature=0.2, top_k=3):
        assert one[0].ending == "length" or json.loads(one[0].text)["age"] in {1, 30}
    chosen = writer.write(PROMPTS, choice=["cat", "dog", "猫"])
    assert {texts[0].text for texts in chosen} <= {"cat", "dog", "猫"}
    matched = writer.write(["a"], regex="(ab|cd){3}")[0][0]
    assert (len(matched.text), matched.ending) == (6, "stop")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 2, "seed": 1}, "The 'seed' parameter of generate has no effect with 'num_beams' 2"),
        ({"num_beams": 2, "temperature": 0.5}, "'temperature' parameter"),
        ({"num_beams": 2, "n": 3}, "at most 'num_beams', 2"),
        ({"num_beams": 20}, "room for 3 rows"),
        ({"regex": "(ab"}, "No text can have the form"),
        ({"regex": "a", "choice": ["b"]}, "does not go with"),
        ({"max_new_tokens": 0}, "'max_new_tokens' parameter"),
        ({"bias": ["cat=1"]}, "'bias' parameter"),
        ({"bias": ["²=1"]}, "'bias' parameter"),
        ({"bias": ["70000=-5"]}, "must have tokens from 0 to 287. Got 70000 instead"),
        ({"temperature": -1}, "'temperature' parameter"),
        ({"presence_penalty": 2.5}, "'presence_penalty' parameter"),
        ({"frequency_penalty": -2.5}, "'frequency_penalty' parameter"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused(writer, options, message):
    with pytest.raises(ConfigError, match=message):
        writer.write(["a"], **options)


def test_a_schema_that_is_none_is_refused(writer, tmp_path):
    for content, message in (
        ("{", "is no JSON schema"),
        ("[1]", "holds no object"),
        ('{"type": "cat"}', "No text can"),
    ):
        (tmp_path / "schema.json").write_text(content)
        with pytest.raises(ConfigError, match=message):
            writer.write(["a"], json_schema=tmp_path / "schema.json")
    with pytest.raises(ConfigError, match="is no JSON schema"):
        writer.write(["a"], json_schema=tmp_path / "missing.json")


def test_a_prompt_that_is_too_long_is_refused_or_read_from_its_end(writer):
    long = "x" * 100 + "the cat"
    with pytest.raises(ConfigError, match="The prompt has 10[0-9] tokens; the model reads 64"):
        writer.write([long])
    (told,) = writer.write([long], truncate=True, max_new_tokens=10)[0]
    assert told.num_prompt_tokens == 54
    assert told == writer.write([writer.tokens(long)[-54:]], max_new_tokens=10)[0][0]
    with pytest.raises(ConfigError, match="whole numbers from 0 to 287"):
        writer.write([[1, 288]])
    with pytest.raises(ConfigError, match="must be a list of prompts"):
        writer.write("the cat")


def test_a_grammar_that_the_tokens_cannot_write_ends_in_an_error(writer, monkeypatch):
    monkeypatch.setattr(
        "yanmo.runtimes.generating.constraints.GrammarConstraint.forbid", lambda _, scores: scores.fill(-np.inf)
    )
    with pytest.raises(ConfigError, match="Nothing that the model's tokens can write"):
        writer.write(["a"], choice=["b"])
    assert writer.generator.is_idle
    with pytest.raises(ConfigError, match="Nothing that the model's tokens can write"):
        list(writer.stream("a", choice=["b"]))


def test_only_bundles_that_write_are_opened(decoder_folder, tmp_path, make_decoder_bundle):
    from tokenizers import Tokenizer

    bundle = make_decoder_bundle(decoder_folder, tmp_path / "bundle")
    for name in ("num_threads", "num_rows"):
        with pytest.raises(ConfigError, match=f"'{name}' parameter"):
            yanmo.load_writer(bundle, **{name: 0})
    tokenizer = Tokenizer.from_file(str(decoder_folder / "tokenizer.json"))
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = []
    content["model"]["vocab"] = {name.strip("<|>"): place for name, place in content["model"]["vocab"].items()}
    with pytest.raises(ModelError, match="has no token for the end"):
        LanguageTokenizer.of(Tokenizer.from_str(json.dumps(content)), name="writer")
    bundle.manifest.info["format"] = "torch"
    with pytest.raises(ArtifactError, match="of format decoder.*of format torch"):
        yanmo.load_writer(bundle)


def test_grammars_know_more_scores_than_tokens(writer):
    constraint = GrammarCompiler(writer.tokenizer.backend, 0).compile(Grammar(choice=["a"]))
    scores = np.zeros(300, np.float32)
    constraint.forbid(scores)
    assert np.flatnonzero(np.isfinite(scores)).tolist() == writer.tokens("a")[1:]
