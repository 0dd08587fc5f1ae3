"""Spans are the same alone, in a batch, from a file and over HTTP, and point at what they say, whatever the text is."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import yanmo
from yanmo.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]
TEXTS = [
    "张三 在 北京 的 Ｙａｎｍｏ 工作",
    "😀😀 Ｊｏｈｎ bought 3 x ＣＵＰ at café\u0301 \r\n tomorrow",
    "",
    "   ",
    "e\u0301\u200d\ufeff<b>Ann</b> &amp; Bob\x00\x1e",
    "好" * 5000,
]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The example of names, two models of it, and an ensemble of them."""
    folder = tmp_path_factory.mktemp("spans")
    (source,) = (ROOT / "examples" / "names").glob("*.jsonl")
    data = yanmo.prepare(source, out=folder / "data", task="token_labels")
    first = yanmo.train(data.path, model="window", num_epochs=3, out=folder / "first")
    second = yanmo.train(data.path, model="hmm", out=folder / "second")
    both = yanmo.ensemble(data.path, [first.path, second.path], out=folder / "both")
    return data, {"window": first, "hmm": second, "ensemble": both}


@pytest.fixture(scope="module", params=["window", "hmm", "ensemble"])
def model(names, request):
    return names[1][request.param]


@pytest.fixture(scope="module")
def predictor(names):
    with yanmo.load(names[1]["window"].path) as opened:
        yield opened


def helpers():
    """Return what starts a service in a thread, which the tests of the service share."""
    spec = importlib.util.spec_from_file_location("served", ROOT / "tests" / "serving" / "conftest.py")
    module = sys.modules.setdefault("served", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


def told(predictions):
    return [[(one.start, one.end, one.label, one.text) for one in answer.spans] for answer in predictions]


def test_spans_are_the_same_alone_in_any_batch_and_from_a_file(names, model, tmp_path):
    texts = [*names[0].split("test")["text"].to_list(), *TEXTS]
    with yanmo.load(model.path) as predictor:
        together = predictor.predict(texts)
        assert told(together) == told([answer for text in texts for answer in predictor.predict([text])])
        assert told(together[::-1]) == told(predictor.predict(texts[::-1]))
    assert sum(len(one.spans) for one in together) > 50
    rows = [text for text in texts if text.strip()]
    pl.DataFrame({"text": rows}).write_parquet(tmp_path / "texts.parquet")
    found = yanmo.predict(model.path, tmp_path / "texts.parquet", out=tmp_path / "out", format="jsonl")
    from_file = [
        [(one["start"], one["end"], one["label"]) for one in spans] for spans in found.frame()["prediction"].to_list()
    ]
    wanted = [[one[:3] for one in spans] for text, spans in zip(texts, told(together), strict=True) if text.strip()]
    assert from_file == wanted
    lines = (tmp_path / "out" / "table.jsonl").read_text(encoding="utf-8").splitlines()
    for line, text in zip(lines, rows, strict=True):
        for one in json.loads(line)["prediction"]:
            assert text[one["start"] : one["end"]] == one["text"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=40), max_size=4))
def test_a_span_points_at_what_it_says(predictor, texts):
    for text, answer in zip(texts, predictor.predict(texts), strict=True):
        end = 0
        for span in answer.spans:
            assert text[span.start : span.end] == span.text != ""
            assert span.start >= end
            assert 0 <= span.probability <= 1
            end = span.end


def test_a_text_of_a_hundred_thousand_characters_is_read_to_its_end(predictor):
    text = "好的，" * 33_333 + "请把订单寄给王小明。"
    (answer,) = predictor.predict([text])
    (alone,) = predictor.predict([text[-60:]])
    shift = len(text) - 60
    last = [(one.start - shift, one.end - shift, one.label) for one in answer.spans if one.start >= shift + 10]
    assert last == [(one.start, one.end, one.label) for one in alone.spans if one.start >= 10]


def test_over_http_they_are_the_same_in_both_forms(names, model, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    # Its own switch would keep the client from this machine, too.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    texts = names[0].split("test")["text"].to_list()[:20]
    with yanmo.load(model.path) as predictor:
        wanted = told(predictor.predict(texts))
    with helpers()._serving(model) as service:
        url = f"http://127.0.0.1:{service.port}"
        with yanmo.Client(url) as client:
            assert told(client.predict(texts)) == wanted
        ask = hub.InferenceClient(model=url)
        for text, spans in zip(texts[:5], wanted, strict=False):
            found = ask.token_classification(text)
            assert [(one.start, one.end, one.entity_group, one.word) for one in found] == spans


def test_models_of_texts_and_of_units_do_not_mix(names, tmp_path):
    data, models = names
    with pytest.raises(ConfigError, match="The model linear is for texts as a whole"):
        yanmo.train(data.path, model="linear", out=tmp_path / "linear")
    (source,) = (ROOT / "examples" / "names").glob("*.jsonl")
    words = yanmo.prepare(source, out=tmp_path / "words", task="token_labels", units="characters")
    with pytest.raises(DataError, match="labels tokens, but the texts of .* are labeled by characters"):
        yanmo.evaluate(models["window"].path, words.path, out=tmp_path / "report")


@pytest.mark.parametrize(("verb", "more"), [("audit", {}), ("prune", {"heads": 0.5}), ("export", {}), ("quantize", {})])
@pytest.mark.parametrize("name", ["window", "hmm"])
def test_verbs_that_do_not_suit_say_so(names, tmp_path, name, verb, more):
    data, models = names
    inputs = [models[name].path] if verb == "export" else [models[name].path, data.path]
    with pytest.raises(yanmo.YanmoError) as caught:
        getattr(yanmo, verb)(*inputs, out=tmp_path / "out", **more)
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_baseline_of_counts_is_no_student(names, tmp_path):
    data, models = names
    with pytest.raises(ConfigError, match="The model hmm learns from labels only") as caught:
        yanmo.distill(models["ensemble"].path, data.path, model="hmm", out=tmp_path / "student")
    assert "Distill into window" in caught.value.hint


def test_a_student_of_an_ensemble_learns_its_spans(names, tmp_path):
    data, models = names
    student = yanmo.distill(models["ensemble"].path, data.path, model="window", num_epochs=3, out=tmp_path / "student")
    scores = [
        yanmo.evaluate(one.path, data.path, out=tmp_path / name).metrics["span_f1"]
        for name, one in (("a", student), ("b", models["ensemble"]))
    ]
    assert scores[0] > scores[1] - 0.1


def test_models_are_stacked_on_their_answers_to_the_folds(names, tmp_path):
    data, _ = names
    members = [
        yanmo.train(data.path, model="window", num_epochs=2, folds=2, seed=seed, out=tmp_path / f"m{seed}")
        for seed in (1, 2)
    ]
    rows = members[0].out_of_fold().frame()
    assert rows["id"].to_list() == data.split("train")["id"].to_list()
    assert [len(one) for one in rows["probabilities"].to_list()] == data.split("train")["label"].list.len().to_list()
    stacked = yanmo.ensemble(data.path, [one.path for one in members], method="stacking", out=tmp_path / "stacked")
    with yanmo.load(stacked.path) as predictor:
        assert any(answer.spans for answer in predictor.predict(data.split("test")["text"].to_list()))


def test_answers_in_several_threads_do_not_disturb_each_other(predictor):
    wanted, found = told(predictor.predict(TEXTS)), {}

    def ask(number):
        found[number] = [told(predictor.predict(TEXTS)) for _ in range(5)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert all(answer == wanted for answers in found.values() for answer in answers)
    assert len(found) == 4


def test_evidence_is_a_distribution_for_every_unit(predictor):
    evidence, found = predictor.infer(TEXTS)
    assert len(evidence) == len(TEXTS)
    np.testing.assert_allclose(evidence.values_MC.sum(axis=1), 1, atol=1e-5)
    assert evidence.ends[-1] == len(evidence.values_MC) == found.num_tokens_N.sum() == len(evidence.places)
