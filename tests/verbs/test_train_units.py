"""Taggers of every family: train, answer alone and in a batch, go on from checkpoints, export and quantize."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from yanmo.artifacts import Bundle, Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.errors import ArtifactError, ConfigError
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.pipeline import TextConfig
from yanmo.text.tokenizer import train_wordpiece
from yanmo.verbs.adjust import adjust
from yanmo.verbs.distill import distill
from yanmo.verbs.evaluate import evaluate
from yanmo.verbs.export import export
from yanmo.verbs.quantize import quantize
from yanmo.verbs.train import train

CITIES, FRUIT = ["北京", "上海", "乌鲁木齐"], ["苹果", "梨"]
FILLERS = ["我", "在", "吃", "，", "很", "好", "a", "🍐", "去"]
LABELS = ["B-city", "B-fruit", "I-city", "I-fruit", "O"]
SMALL = {"num_epochs": 12, "batch_size": 16, "max_length": 16, "vocab_size": 100, "num_threads": 1}
RATES = {"textcnn": 1e-2, "bilstm": 1e-2}
FAMILIES = ("bert-2x32", "roberta-1x32", "albert-1x32", "electra-1x32", "textcnn", "bilstm")
QUANTIZED = ("bert-2x32", "bilstm", "textcnn")


def tagged_rows(num_rows, split, *, seed):
    generator = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(num_rows):
        text, tags = "", []
        for _ in range(int(generator.integers(0, 9))):
            kind = ("city", "fruit", "")[generator.integers(3)]
            word = str(generator.choice({"city": CITIES, "fruit": FRUIT, "": FILLERS}[kind]))
            text += word + (" " if generator.random() < 0.2 else "")
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(word) - 1)] if kind else ["O"]
        texts.append(text)
        # Some units have no label.
        labels.append([None if generator.random() < 0.1 else tag for tag in tags])
    frame = {"id": [f"{split}-{place}" for place in range(num_rows)], "text": texts, "label": labels}
    return pl.DataFrame(frame, schema_overrides={"label": pl.List(pl.String)})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "tagged"
    info = {"text": TextConfig(units="characters").model_dump(mode="json")}
    identity = {"kind": "dataset", "verb": "prepare", "task": "token_labels", "parents": {}, "config": {}}
    with publish(folder, Identity(**identity, labels=LABELS, info=info)) as staging:
        for seed, (split, num_rows) in enumerate({"train": 150, "valid": 50, "test": 50}.items()):
            tagged_rows(num_rows, split, seed=seed).write_parquet(staging / f"{split}.parquet")
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """Return the Bundle of a small tagger that has learned; each is made once."""
    made = {}

    def get(model):
        if model not in made:
            settings = {"learning_rate": RATES.get(model, 3e-3), **SMALL}
            made[model] = train(dataset, model=model, out=tmp_path_factory.mktemp("models") / model, **settings)
        return made[model]

    return get


LONG = "我在北京吃苹果，" * 40
ASKED = ["", " ", "我去乌鲁木齐", "梨", "\u200b\x00", LONG, "a 苹果 b 🍐上海!"]


def spans_of(predictor, texts):
    return [one.spans for one in predictor.predict(texts)]


@pytest.mark.parametrize("model", FAMILIES)
def test_a_tagger_learns_and_answers_alone_as_in_any_batch(model, trained):
    bundle = trained(model)
    assert bundle.manifest.info["summary"]["valid_span_f1"] > 0.9
    with open_bundle(bundle, num_threads=1) as predictor:
        together = spans_of(predictor, ASKED)
        assert _alike(together, [spans_of(predictor, [text])[0] for text in ASKED])
        assert together[:2] == [(), ()]
        # The text is twenty times as long as a window, and its last words are found as its first ones are.
        assert [(one.text, one.label) for one in together[5]] == [("北京", "city"), ("苹果", "fruit")] * 40
        assert not predictor.infer([LONG])[1].truncated_N.any()
    for text, spans in zip(ASKED, together, strict=True):
        assert all(text[one.start : one.end] == one.text for one in spans)


def _alike(ours, theirs):
    """Return whether spans are the same, and as probable up to rounding."""
    same = [[(one.start, one.end, one.label) for one in spans] for spans in ours]
    found = [one.probability for spans in ours for one in spans]
    return same == [[(one.start, one.end, one.label) for one in spans] for spans in theirs] and np.allclose(
        found, [one.probability for spans in theirs for one in spans], atol=1e-5
    )


@pytest.mark.parametrize("model", FAMILIES)
def test_an_export_answers_as_torch_does(model, trained, tmp_path):
    bundle = trained(model)
    exported = export(bundle, out=tmp_path / "onnx")
    with open_bundle(bundle, num_threads=1) as torch, open_bundle(exported, num_threads=1) as onnx:
        assert _alike(spans_of(torch, ASKED), spans_of(onnx, ASKED))
        assert _alike(spans_of(onnx, ASKED), [spans_of(onnx, [text])[0] for text in ASKED])


@pytest.mark.parametrize("model", QUANTIZED)
def test_eight_bits_are_judged_by_the_headline_of_the_labels(model, trained, dataset, tmp_path):
    made = quantize(trained(model), dataset, max_drop=0.05, num_threads=1, out=tmp_path / "int8")
    facts = made.manifest.info["quantization"]
    assert facts["kept_fp32"] == []
    assert facts["span_f1_drop"] <= 0.05
    with open_bundle(trained(model)) as before, open_bundle(made) as after:
        places = [[(one.start, one.end) for one in spans] for spans in spans_of(before, ASKED)]
        assert [[(one.start, one.end) for one in spans] for spans in spans_of(after, ASKED)] == places


def test_rules_go_along_through_export_and_eight_bits_and_are_measured(trained, dataset, tmp_path):
    (tmp_path / "rules.toml").write_text(
        '[[rule]]\nlabel = "city"\nwords = ["很好"]\n[thresholds]\nfruit = 1.0\n', "utf-8"
    )
    ruled = adjust(trained("bert-2x32"), rules=tmp_path / "rules.toml", out=tmp_path / "ruled")
    exported = export(ruled, out=tmp_path / "onnx")
    made = quantize(exported, dataset, max_drop=0.05, num_threads=1, out=tmp_path / "int8")
    for bundle in (ruled, exported, made):
        with open_bundle(bundle, num_threads=1) as predictor:
            (answer,) = predictor.predict(["梨很好，上海"])
        assert ("很好", "city", "dictionary") in [(one.text, one.label, one.source) for one in answer.spans]
        # No fruit is as sure as its threshold.
        assert "fruit" not in answer.label
    found = evaluate(made, dataset, split="valid", out=tmp_path / "report").metrics
    assert found["span_f1"] == pytest.approx(made.manifest.info["quantization"]["span_f1"], abs=1e-6)


def test_what_a_student_learns_of_rules_is_said(trained, dataset, tmp_path, caplog):
    (tmp_path / "rules.toml").write_text('[[rule]]\nlabel = "city"\nwords = ["很好"]\n', "utf-8")
    ruled = adjust(trained("bert-2x32"), rules=tmp_path / "rules.toml", out=tmp_path / "ruled")
    student = distill(ruled, dataset, model="window", num_epochs=1, out=tmp_path / "student")
    assert "The student learns from them and has no rules of its own" in caplog.text
    assert not (student.path / "rules.json").exists()


def test_a_student_that_softens_nothing_has_no_temperature(trained, dataset, tmp_path):
    with pytest.raises(ConfigError, match=r"'temperature' parameter of distill must be 1 for the model window.* Got 2"):
        distill(trained("bert-2x32"), dataset, model="window", temperature=2.0, out=tmp_path / "student")


def test_what_is_harmful_goes_back_to_fp32(trained, dataset, tmp_path):
    made = quantize(trained("bert-2x32"), dataset, max_drop=0.0, method="int8-dynamic", out=tmp_path / "int8")
    assert made.manifest.info["quantization"]["span_f1_drop"] <= 0


def test_a_tagger_goes_on_from_one_whose_labels_it_shares(trained, dataset, tmp_path):
    start = trained("bert-2x32")
    again = train(dataset, model=str(start.path), out=tmp_path / "again", **{**SMALL, "num_epochs": 1})
    assert again.manifest.info["summary"]["valid_span_f1"] > 0.9


def test_a_student_learns_from_another_tagger_about_units_without_labels(trained, dataset, tmp_path):
    settings = {**SMALL, "learning_rate": 1e-2, "alpha": 1.0}
    made = distill(trained("bert-2x32"), dataset, model="bilstm", out=tmp_path / "student", **settings)
    assert made.manifest.info["summary"]["valid_span_f1"] > 0.9


def test_a_checkpoint_that_was_trained_on_texts_gets_a_new_head(dataset, make_masked_lm, tmp_path):
    texts = dataset.split("train")["text"].to_list()
    folder = make_masked_lm(tmp_path / "checkpoint", train_wordpiece(texts, 100, min_frequency=1))
    settings = {**SMALL, "num_epochs": 25, "learning_rate": 3e-3}
    made = train(dataset, model=str(folder), out=tmp_path / "tagger", **settings)
    config = json.loads((made.path / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert made.manifest.info["summary"]["valid_span_f1"] > 0.8


def test_training_is_the_same_after_it_was_repeated(trained, dataset, tmp_path):
    first = trained("bilstm")
    second = train(dataset, model="bilstm", out=tmp_path / "second", **SMALL | {"learning_rate": 1e-2})
    assert (first.path / "model.safetensors").read_bytes() == (second.path / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "settings", [{"class_weights": "balanced"}, {"focal_gamma": 2.0}, {"r_drop": 0.5}, {"multi_sample_dropout": 3}]
)
def test_losses_of_texts_are_losses_of_units_too(settings, dataset, tmp_path):
    made = train(dataset, model="bert-1x32", out=tmp_path / "made", learning_rate=3e-3, **SMALL, **settings)
    assert made.manifest.info["summary"]["valid_span_f1"] > 0.9


@pytest.mark.parametrize("model", ["linear", "ngram"])
def test_a_family_that_reads_texts_only_is_refused(model, dataset, tmp_path):
    with pytest.raises(ConfigError, match="is for texts as a whole") as caught:
        train(dataset, model=model, out=tmp_path / "made")
    assert "bert, roberta, albert, electra, bilstm, textcnn, window, hmm" in caught.value.hint


def test_a_bundle_of_units_is_a_plain_folder_of_transformers(trained):
    bundle = Bundle.open(trained("bert-2x32").path)
    assert bundle.architecture["family"] == "encoder"
    assert json.loads((bundle.path / "config.json").read_text())["id2label"]["0"] == LABELS[0]


def test_a_frozen_checkpoint_gets_the_best_head_for_its_states(trained, dataset, tmp_path):
    start = trained("bert-2x32")
    made = train(dataset, model=str(start.path), out=tmp_path / "made", frozen=True, **SMALL)
    assert made.manifest.info["summary"]["valid_span_f1"] > 0.9


def test_what_is_for_whole_texts_is_refused_before_anything_is_trained(trained, dataset, tmp_path):
    with pytest.raises(ArtifactError, match="labels the units of texts in a chain"):
        export(trained("bert-2x32"), to="transformers", out=tmp_path / "plain")
