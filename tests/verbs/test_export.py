"""export: a torch Bundle becomes an ONNX Bundle that answers alike, or nothing is written."""

from __future__ import annotations

import hashlib
import json
import logging

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedTokenizerFast

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle, write_golden
from yanmo.errors import ArtifactError, ConfigError, ModelError
from yanmo.exporting import parity
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig
from yanmo.text.tokenizer import train_wordpiece
from yanmo.verbs.export import export

TEXTS = ["很快，好吃", "cold & late", "好", "送得太慢了"]
LABELS = ["0", "1"]
USER_DICT = "user_dict.txt"


def make_bundle(folder, model):
    """Publish a Bundle with random weights, a user dictionary and golden examples that are all wrong."""
    torch.manual_seed(0)
    settings = NetworkSettings(LABELS, SOFTMAX, max_length=16, vocab_size=100, dropout=0.1)
    trainable = make_trainable(resolve(model), Inputs((TEXTS,)), settings)
    text = TextConfig(cleaning=("unicode_nfkc", "lowercase"), segmenter="rjieba", user_dict=USER_DICT)
    info = {
        "format": resolve(model).format,
        "model": model,
        "max_length": trainable.max_length,
        "architecture": trainable.architecture,
        "text": text.model_dump(mode="json"),
        "summary": {"valid_accuracy": 0.75},
    }
    identity = {"kind": "bundle", "verb": "train", "task": "single_label", "labels": LABELS}
    with publish(folder, Identity(**identity, parents={"dataset": "d" * 64}, seed=7, info=info)) as staging:
        trainable.save(staging)
        (staging / USER_DICT).write_text("很快 10\n", encoding="utf-8")
        zeros = Choices(np.zeros((4, 2), dtype=np.float32), SOFTMAX)
        write_golden(staging, ("text",), Inputs((TEXTS,)), zeros)
    return Bundle.open(folder)


@pytest.fixture(scope="module")
def textcnn(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundles") / "textcnn", "textcnn")


@pytest.fixture(scope="module")
def exported(textcnn, tmp_path_factory):
    return export(textcnn.path, out=tmp_path_factory.mktemp("exported") / "bundle")


def golden_probabilities(bundle):
    """The golden answers of a Bundle, shape (N, C)."""
    return np.array(bundle.golden().evidence["probabilities"].to_list())


def test_the_new_bundle_has_all_it_needs(textcnn, exported):
    assert exported.format == "onnx"
    assert (exported.task, exported.labels, exported.model) == (textcnn.task, LABELS, "textcnn")
    assert (exported.max_length, exported.text_config) == (16, textcnn.text_config)
    assert exported.manifest.parents == {"bundle": textcnn.digest, "dataset": "d" * 64}
    assert exported.manifest.seed == 7
    files = {"README.md", "README.zh.md", "golden.json", "onnx/model.onnx", "onnx.json", "tokenizer.json", USER_DICT}
    assert set(exported.manifest.files) == files
    assert exported.summary()["valid_accuracy"] == 0.75
    card = (exported.path / "README.md").read_text(encoding="utf-8")
    assert "| Format | onnx |" in card
    assert "| Validation accuracy | 0.7500 |" in card


def test_the_golden_texts_stay_and_the_answers_are_those_of_the_new_model(textcnn, exported):
    assert exported.golden().inputs.items() == TEXTS
    golden_NC = golden_probabilities(exported)
    expected_NC = open_bundle(textcnn, verify_golden=False).predict_proba(TEXTS)
    assert np.abs(golden_NC - expected_NC).max() <= 1e-5
    assert np.abs(open_bundle(exported).predict_proba(TEXTS) - golden_NC).max() <= 1e-6


def test_the_new_bundle_opens_where_the_old_one_is_gone(exported, tmp_path):
    moved = exported.path.rename(tmp_path / "moved")
    try:
        assert len(open_bundle(moved).predict(["好"])) == 1
    finally:
        moved.rename(exported.path)


@pytest.mark.parametrize("model", ["textcnn", "bert-1x32"])
def test_exporting_twice_gives_the_same_artifact(model, tmp_path, caplog):
    bundle = make_bundle(tmp_path / "bundle", model)
    with caplog.at_level(logging.INFO):
        first, second = (export(bundle, out=tmp_path / name) for name in ("a", "b"))
    assert first.digest == second.digest
    content = (first.path / "onnx" / "model.onnx").read_bytes()
    assert hashlib.sha256(content).hexdigest() == first.manifest.files["onnx/model.onnx"].sha256
    assert str(tmp_path).encode() not in content
    assert "differ from torch's by at most" in caplog.text


def checkpoint(folder, activation):
    """Write a tiny BERT as other tools write it."""
    tokenizer = train_wordpiece(TEXTS, 100, min_frequency=1)
    specials = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), hidden_act=activation, **sizes)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("activation", "inputs"), [("gelu", ["input_ids", "lengths"]), ("mish", ["input_ids", "attention_mask"])]
)
def test_a_network_that_cannot_be_written_is_traced(activation, inputs, tmp_path):
    bundle = make_bundle(tmp_path / "bundle", checkpoint(tmp_path / "checkpoint", activation))
    exported = export(bundle, out=tmp_path / "exported")
    assert json.loads((exported.path / "onnx.json").read_bytes())["inputs"][:2] == inputs
    expected_NC = open_bundle(bundle, verify_golden=False).predict_proba(TEXTS)
    assert np.abs(golden_probabilities(exported) - expected_NC).max() <= 1e-5


def test_a_model_that_answers_differently_is_not_published(textcnn, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="The exported model does not answer as its original does"):
        export(textcnn, out=tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


def test_only_torch_bundles_are_exported(exported, tmp_path):
    ngram = make_bundle(tmp_path / "ngram", "ngram")
    with pytest.raises(ArtifactError, match="is of format ngram") as caught:
        export(ngram, out=tmp_path / "out")
    assert "runs without torch already" in caught.value.hint
    with pytest.raises(ArtifactError, match="is of format onnx") as caught:
        export(exported, out=tmp_path / "out")
    assert "is exported already" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_named(textcnn, tmp_path):
    with pytest.raises(ConfigError, match="must be 'onnx', 'transformers', 'arpa' or 'gguf'"):
        export(textcnn, to="tflite", out=tmp_path / "out")
