"""A language model from texts to its Report: it says what logits say, and verbs that cannot do with it refuse."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

import yanmo
from yanmo.answers.sequences import Sequences
from yanmo.errors import ArtifactError, ConfigError, DataError, ModelError
from yanmo.reporting.pages import render_language

NAMES = ["gpt2-1x32", "gpt-1x32"]
WINDOW = 16
TINY = {"vocab_size": 280, "max_length": WINDOW, "num_epochs": 6, "learning_rate": 0.01, "num_threads": 1}


def lines(num_rows):
    generator = np.random.default_rng(3)
    who, what = ["the cat", "the dog", "a bird", "我"], ["sees the moon", "eats", "runs home", "看见月亮"]
    return [f"{generator.choice(who)} {generator.choice(what)} and {generator.choice(what)}." for _ in range(num_rows)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Dataset of short lines, and what is trained on it."""
    folder = tmp_path_factory.mktemp("language")
    for split, rows in {"train": lines(80), "valid": lines(12), "test": [*lines(20), "the moon " * 12]}.items():
        (folder / f"{split}.txt").write_text("\n".join(rows), encoding="utf-8")
    keys = {split: folder / f"{split}.txt" for split in ("valid", "test")}
    data = yanmo.prepare(folder / "train.txt", out=folder / "data", task="causal_lm", **keys)
    for name in NAMES:
        yanmo.train(data, out=folder / name, model=name, **TINY)
    yanmo.train(data, out=folder / "kneser-ney", model="kneser-ney")
    return folder


def plain_loop(path, text, stride):
    """The log-likelihood of every token by transformers alone, window by window."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    ids = [tokenizer.eos_token_id, *tokenizer(text).input_ids]
    found, begin = [], 0
    while len(found) < len(ids) - 1:
        window = ids[begin : begin + WINDOW]
        with torch.no_grad():
            scores = model(torch.tensor([window])).logits[0].log_softmax(dim=-1)
        for place in range(len(found) - begin, min(WINDOW, len(ids) - 1 - begin)):
            found.append(float(scores[place, ids[begin + place + 1]]))
        begin += stride
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("options", "stride"), [({}, 8), ({"long_texts": "windows", "window_overlap": 0.25}, 12)])
def test_likelihoods_are_those_of_a_plain_loop_over_logits(folder, name, options, stride):
    texts = ["the moon " * 12, "the cat 看见月亮", "", "x"]
    with yanmo.load(folder / name, **options) as predictor:
        evidence, found = predictor.infer(texts)
    assert isinstance(evidence, Sequences)
    wanted = [one for text in texts for one in plain_loop(folder / name, text, stride)]
    np.testing.assert_allclose(evidence.values_M, wanted, atol=1e-4)
    assert not found.truncated_N.any()


@pytest.mark.parametrize("name", [*NAMES, "kneser-ney"])
def test_a_report_names_its_measures_and_how_texts_were_read_and_has_the_n_grams_beside_it(folder, name, tmp_path):
    report = yanmo.evaluate(folder / name, folder / "data", out=tmp_path / "report", measure_speed=False)
    values = json.loads((report.path / "report.json").read_text())
    assert values["headline"]["name"] == "bits_per_character"
    assert values["bits_per_character_interval"][0] < values["bits_per_character"]
    assert values["bits_per_byte"] < values["bits_per_character"]
    assert values["baseline"]["order"] == 7
    if name == "kneser-ney":
        assert values["reading"] == {"order": 7, "start_token": "<s>"}
        assert abs(values["baseline"]["bits_per_character_difference"]) < 1e-5
    else:
        assert values["reading"] == {"window": WINDOW, "stride": 8, "start_token": "<|endoftext|>"}
    hardest = [one["bits_per_character"] for one in values["mistakes"]]
    assert hardest == sorted(hardest, reverse=True)
    page = (report.path / "report.html").read_text(encoding="utf-8")
    assert "Against counted n-grams" in page
    assert page == render_language(values)


def test_the_exported_model_reads_and_measures_alike(folder, tmp_path):
    exported = yanmo.export(folder / NAMES[0], out=tmp_path / "decoder")
    ours, theirs = (
        yanmo.evaluate(one, folder / "data", measure_speed=False).metrics for one in (exported, folder / NAMES[0])
    )
    assert ours["reading"] == theirs["reading"]
    assert ours["bits_per_character"] == pytest.approx(theirs["bits_per_character"], abs=1e-4)


def test_counted_n_grams_are_exported_to_an_arpa_file_and_others_are_not(folder, tmp_path):
    made = yanmo.export(folder / "kneser-ney", out=tmp_path / "arpa", to="arpa")
    assert made.summary()["largest_difference"] < 1e-5
    assert (made.path / "model.arpa").read_text(encoding="utf-8").startswith("\\data\\")
    assert (made.path / "tokenizer.json").is_file()
    with pytest.raises(ArtifactError, match="An ARPA file holds n-grams"):
        yanmo.export(folder / NAMES[0], out=tmp_path / "other", to="arpa")


def test_models_of_other_tokens_are_held_against_each_other(folder):
    report = yanmo.evaluate(
        folder / "kneser-ney", folder / "data", against=folder / NAMES[0], measure_speed=False
    ).metrics
    other = yanmo.evaluate(folder / NAMES[0], folder / "data", measure_speed=False).metrics
    assert report["against"]["bits_per_character"] == pytest.approx(other["bits_per_character"], abs=1e-6)
    assert "mcnemar_p_value" not in report["against"]


def test_a_single_document_has_no_interval(folder, tmp_path):
    (tmp_path / "one.txt").write_text("the cat sees the moon\n", encoding="utf-8")
    keys = {"valid": tmp_path / "one.txt", "test": tmp_path / "one.txt", "documents": "files"}
    data = yanmo.prepare(folder / "train.txt", out=tmp_path / "data", task="causal_lm", **keys)
    values = yanmo.evaluate(folder / "kneser-ney", data, measure_speed=False).metrics
    assert values["num_rows"] == 1
    assert values["bits_per_character_interval"] is None


def test_predict_says_how_likely_texts_are(folder, tmp_path):
    predictions = yanmo.predict(
        folder / "kneser-ney", folder / "test.txt", out=tmp_path / "out", header=False, text="1"
    )
    frame = predictions.frame()
    with yanmo.load(folder / "kneser-ney") as predictor:
        wanted = predictor.predict(frame["text"].to_list())
    found = [one.probabilities["log_likelihood"] for one in wanted]
    np.testing.assert_allclose(frame["prediction"], found, rtol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_a_checkpoint_is_gone_on_from(folder, tmp_path):
    data = yanmo.Dataset.open(folder / "data")
    again = yanmo.train(data, out=tmp_path / "again", model=NAMES[0], **TINY)
    assert (again.path / "model.safetensors").read_bytes() == (folder / NAMES[0] / "model.safetensors").read_bytes()
    further = yanmo.train(
        data, out=tmp_path / "further", model=str(folder / NAMES[0]), max_length=8, num_epochs=1, num_threads=1
    )
    assert further.max_length == 8
    assert (further.path / "tokenizer.json").is_file()
    scores = [one.manifest.info["summary"]["valid_bits_per_character"] for one in (again, further)]
    # Windows of half the length know less, and what has been learned is still there.
    assert scores[1] < 1.5 * scores[0]


@pytest.fixture(scope="module")
def llama(folder, tmp_path_factory):
    """A checkpoint of the Llama kind with random weights."""
    place = tmp_path_factory.mktemp("llama")
    tokenizer = AutoTokenizer.from_pretrained(folder / NAMES[0])
    shape = {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}
    config = LlamaConfig(**shape, **heads, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0)
    torch.manual_seed(5)
    AutoModelForCausalLM.from_config(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.mark.parametrize(
    ("keys", "moved"),
    [
        ({}, {"embed_tokens", "q_proj", "mlp", "lm_head"}),
        pytest.param({"lora_rank": 2}, {"q_proj"}, marks=pytest.mark.extra("peft")),
        ({"frozen_layers": 2}, {"lm_head"}),
    ],
    ids=["all", "lora", "frozen"],
)
def test_a_checkpoint_of_another_family_goes_on_learning_with_all_or_few_of_its_weights(
    folder, llama, tmp_path, keys, moved
):
    made = yanmo.train(
        folder / "data", out=tmp_path / "out", model=str(llama), num_epochs=1, learning_rate=0.01, num_threads=1, **keys
    )
    before, after = (load_file(one / "model.safetensors") for one in (llama, made.path))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    for part in ("embed_tokens", "q_proj", "mlp", "lm_head"):
        assert any(part in name for name in changed) == (part in moved), part
    with yanmo.load(made) as predictor:
        np.testing.assert_allclose(predictor.infer(["x"])[0].values_M, plain_loop(made.path, "x", 8), atol=1e-4)


@pytest.mark.extra("peft")
def test_gpt2_learns_small_changes_too(folder, tmp_path):
    keys = {"num_epochs": 1, "lora_rank": 2, "num_threads": 1}
    made = yanmo.train(folder / "data", out=tmp_path / "out", model=str(folder / NAMES[0]), **keys)
    before, after = (load_file(one / "model.safetensors") for one in (folder / NAMES[0], made.path))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"transformer.h.0.attn.c_attn.weight"}


def test_settings_of_labels_have_no_effect_and_that_is_said(folder, tmp_path, caplog):
    yanmo.train(
        folder / "data", out=tmp_path / "out", model="gpt2-1x32", label_smoothing=0.1, **TINY | {"num_epochs": 1}
    )
    assert "'label_smoothing' parameter has no effect" in caplog.text
    caplog.clear()
    keys = {"model": str(folder / NAMES[0]), "num_epochs": 1, "num_threads": 1, "focal_gamma": 1.0}
    yanmo.train(folder / "data", out=tmp_path / "further", **keys)
    assert "'focal_gamma' parameter has no effect" in caplog.text
    with pytest.raises(ConfigError, match="train with folds is for"):
        yanmo.train(folder / "data", out=tmp_path / "folds", model="gpt2-1x32", folds=2)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model": "bert-1x32"}, "but the task causal_lm is about the tokens of texts"),
        ({"model": "ngram"}, "but the task causal_lm is about the tokens of texts"),
        ({"model": NAMES[0], "max_length": 64}, "must be at most 16 for gpt2-1x32"),
    ],
)
def test_a_model_that_does_not_suit_is_refused(keys, message, folder, tmp_path):
    keys = {**keys, "model": str(folder / NAMES[0])} if "max_length" in keys else keys
    with pytest.raises(ConfigError) as caught:
        yanmo.train(folder / "data", out=tmp_path / "model", num_threads=1, **keys)
    assert message in caught.value.message


def test_a_checkpoint_whose_tokenizer_has_no_end_is_refused(folder, tmp_path):
    source = folder / NAMES[0]
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    tokenizer = (source / "tokenizer.json").read_text(encoding="utf-8").replace("<|endoftext|>", "<|other|>")
    (tmp_path / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|other|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="no token for the end of a text"):
        yanmo.train(folder / "data", out=tmp_path / "model", model=str(tmp_path), num_epochs=1, num_threads=1)


def test_models_that_know_other_words_are_not_mixed(folder, tmp_path):
    data, words = folder / "data", {"model": "kneser-ney", "tokenization": "words"}
    few, more, again = (
        yanmo.train(data, out=tmp_path / name, vocab_size=size, **words)
        for name, size in (("few", 16), ("more", 100), ("again", 100))
    )
    with pytest.raises(DataError, match="know different words"):
        yanmo.ensemble(data, [few, more], out=tmp_path / "mixed")
    assert yanmo.ensemble(data, [more, again], out=tmp_path / "alike").format == "ensemble"


@pytest.mark.parametrize("verb", ["calibrate", "cascade"])
def test_verbs_that_do_not_suit_say_so(verb, folder, tmp_path):
    bundle, data, out = folder / "kneser-ney", folder / "data", tmp_path / "out"
    calls = {
        "cascade": lambda: yanmo.cascade(data, [bundle, bundle], out=out),
        "tune": lambda: yanmo.tune(data, out=out, model="kneser-ney"),
        "distill": lambda: yanmo.distill(bundle, data, out=out, model=NAMES[0]),
    }
    with pytest.raises(ConfigError, match=f"{verb} is for .*; the task causal_lm is about the tokens of texts"):
        calls.get(verb, lambda: getattr(yanmo, verb)(bundle, data, out=out))()


@pytest.mark.parametrize("method", ["average", "weighted", "greedy"])
def test_models_of_one_vocabulary_are_mixed(folder, tmp_path, method):
    data = yanmo.Dataset.open(folder / "data")
    short = yanmo.train(data, out=tmp_path / "short", model="kneser-ney", order=2)
    mixed = yanmo.ensemble(data, [folder / "kneser-ney", short], out=tmp_path / "mixed", method=method)
    texts = data.split("test")["text"].to_list()
    evidences = []
    for one in (mixed, folder / "kneser-ney", short):
        with yanmo.load(one) as predictor:
            evidences.append(predictor.infer(texts)[0])
    found, long, few = (np.exp(one.values_M.astype(np.float64)) for one in evidences)
    if method == "average":
        np.testing.assert_allclose(found, (long + few) / 2, rtol=1e-4)
    assert (found <= np.maximum(long, few) * 1.0001).all()
    summary = mixed.manifest.info["summary"]
    if method != "average":
        assert summary["valid_bits_per_character"] <= summary["valid_bits_per_character_of_best_member"] + 5e-4
    report = yanmo.evaluate(mixed, data, measure_speed=False).metrics
    assert len(report["composite"]["members"]) == 2
    assert report["reading"]["order"] == 7


def test_models_of_other_tokens_are_not_mixed_and_methods_that_choose_do_not_suit(folder, tmp_path):
    data = yanmo.Dataset.open(folder / "data")
    with pytest.raises(DataError, match="cut texts into different tokens"):
        yanmo.ensemble(data, [folder / "kneser-ney", folder / NAMES[0]], out=tmp_path / "mixed")
    for method in ("vote", "log-linear", "stacking"):
        with pytest.raises(ConfigError, match=f"The method {method} is for answers of the form"):
            yanmo.ensemble(data, [folder / "kneser-ney"] * 2, out=tmp_path / "mixed", method=method)
