"""prune: what is cut out is gone, what stays answers alike, and the Bundle says what that cost."""

import json
import logging
import shutil
import sys

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.artifacts import Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle, write_golden
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import work_dir
from yanmo.errors import ArtifactError, ConfigError, MissingExtraError
from yanmo.modeling.arithmetic import determinism
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig
from yanmo.text.tokenizer import SPECIAL_TOKENS
from yanmo.verbs.calibrate import calibrate
from yanmo.verbs.ensemble import ensemble
from yanmo.verbs.export import export
from yanmo.verbs.prune import prune
from yanmo.verbs.quantize import quantize
from yanmo.verbs.train import train

LABELS = ["city", "fruit", "tool"]
SMALL = {"num_epochs": 4, "batch_size": 16, "num_threads": 1, "max_length": 16, "vocab_size": 120}
FAST = {"num_epochs": 1, "num_importance_texts": 32, "num_threads": 1}


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("data") / "words", LABELS)


@pytest.fixture(scope="module")
def encoder(dataset, tmp_path_factory):
    return train(dataset, model="bert-3x128", **SMALL, out=tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def texts(dataset):
    return dataset.split("test")["text"].to_list()


def test_fewer_neurons_and_layers_stay_a_plain_hugging_face_folder(dataset, encoder, texts, tmp_path):
    made = prune(encoder, dataset, feed_forward=0.5, layers=1, **FAST, out=tmp_path / "made")
    assert made.format == "torch"
    config = json.loads((made.path / "config.json").read_text("utf-8"))
    assert (config["intermediate_size"], config["num_hidden_layers"]) == (256, 2)
    network, loading = AutoModelForSequenceClassification.from_pretrained(made.path, output_loading_info=True)
    assert not any(loading.values())
    assert network.num_parameters() == made.summary()["num_parameters"]
    assert made.summary()["valid_accuracy"] > 0.5
    assert made.summary()["size_ratio"] < 0.7
    assert made.manifest.parents == {"bundle": encoder.digest, "dataset": dataset.digest}
    assert open_bundle(made).predict_proba(texts).shape == (60, 3)
    assert not work_dir(made.path).exists()


def test_what_calibrated_answers_have_taught_is_not_calibrated_again(dataset, encoder, tmp_path):
    sure = calibrate(encoder, dataset, out=tmp_path / "sure")
    taught = prune(sure, dataset, feed_forward=0.5, **FAST, out=tmp_path / "taught")
    cut = prune(sure, dataset, vocabulary=1, **{**FAST, "num_epochs": 0}, out=tmp_path / "cut")
    assert sure.calibration is not None
    assert (taught.calibration, cut.calibration) == (None, sure.calibration)


@pytest.mark.parametrize("uniform", [True, False])
def test_fewer_heads_are_an_onnx_bundle_that_can_be_quantized(dataset, encoder, texts, tmp_path, uniform):
    keys = {"heads": 0.5, "feed_forward": 0.5, "uniform": uniform}
    made = prune(encoder, dataset, **keys, **FAST, out=tmp_path / "made")
    assert made.format == "onnx"
    facts = made.summary()
    assert all(count % 16 == 0 for count in facts["neurons"])
    assert all(1 <= count <= 2 for count in facts["heads"])
    if uniform:
        assert (facts["heads"], facts["neurons"]) == ([1, 1, 1], [256, 256, 256])
    else:
        assert len(set(facts["neurons"])) > 1
    int8 = quantize(made, dataset, max_drop=1.0, num_threads=1, out=tmp_path / "int8")
    assert np.abs(open_bundle(int8).predict_proba(texts) - open_bundle(made).predict_proba(texts)).max() < 0.2


def test_the_graph_answers_as_the_network_that_recovered(dataset, encoder, tmp_path, monkeypatch):
    from yanmo.modeling.runs import network_training

    kept = {}
    fit = network_training.fit
    monkeypatch.setattr(network_training, "fit", lambda trainer, *rest: kept.setdefault("scores", fit(trainer, *rest)))
    made = prune(encoder, dataset, heads=0.5, **FAST, out=tmp_path / "made")
    assert made.summary()["valid_accuracy"] == pytest.approx(kept["scores"]["accuracy"], abs=1e-6)


@pytest.fixture(scope="module")
def half_asleep(encoder, tmp_path_factory):
    """The encoder with one of the two heads and a quarter of the neurons of each layer read by nothing."""
    folder = tmp_path_factory.mktemp("asleep") / "bert"
    tensors = load_file(encoder.path / "model.safetensors")
    generator = np.random.default_rng(0)
    for layer in range(3):
        name = f"bert.encoder.layer.{layer}"
        head = int(generator.integers(2))
        tensors[f"{name}.attention.output.dense.weight"][:, 64 * head : 64 * (head + 1)] = 0
        tensors[f"{name}.output.dense.weight"][:, generator.permutation(512)[:128]] = 0
    identity = {"kind": "bundle", "verb": "train", "task": "single_label", "labels": LABELS}
    with publish(folder, Identity(**identity, info=encoder.manifest.info)) as staging:
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(encoder.path / file, staging / file)
        save_file(tensors, staging / "model.safetensors", metadata={"format": "pt"})
        write_golden(staging, ("text",), Inputs(([],)), Choices(np.zeros((0, 3), dtype=np.float32), SOFTMAX))
    return Bundle.open(folder)


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
@pytest.mark.parametrize("uniform", [True, False])
def test_without_recovery_the_parts_that_matter_least_are_gone(
    dataset, half_asleep, texts, importance, uniform, tmp_path
):
    keys = {"heads": 0.5, "feed_forward": 0.25, "importance": importance, "uniform": uniform}
    made = prune(half_asleep, dataset, **keys, **{**FAST, "num_epochs": 0}, out=tmp_path / "made")
    assert (made.summary()["heads"], made.summary()["neurons"]) == ([1, 1, 1], [384, 384, 384])
    ours, theirs = (open_bundle(one).predict_proba(texts) for one in (made, half_asleep))
    assert np.abs(ours - theirs).max() < 1e-4


def big_bundle(folder):
    """Publish an untrained bert-4x312 that has 21,128 tokens, as BERT for Chinese has."""
    torch.manual_seed(0)
    characters = [chr(0x4E00 + place) for place in range(20_000)]
    words = [f"w{place}" for place in range(2_000)]
    texts = [" ".join(characters[start : start + 500]) for start in range(0, 20_000, 500)] * 2
    texts += [" ".join(words[start : start + 500]) for start in range(0, 2_000, 500)] * 2
    settings = NetworkSettings(["no", "yes"], SOFTMAX, max_length=64, vocab_size=26_450, dropout=0.0)
    trainable = make_trainable(resolve("bert-4x312"), Inputs((texts,)), settings)
    info = {
        "format": "torch",
        "model": "bert-4x312",
        "max_length": 64,
        "architecture": trainable.architecture,
        "text": TextConfig().model_dump(mode="json"),
    }
    identity = {"kind": "bundle", "verb": "train", "task": "single_label", "labels": ["no", "yes"]}
    with publish(folder, Identity(**identity, info=info)) as staging:
        trainable.save(staging)
        write_golden(staging, ("text",), Inputs(([],)), Choices(np.zeros((0, 2), dtype=np.float32), SOFTMAX))
    return Bundle.open(folder), characters


@pytest.mark.slow
def test_a_smaller_vocabulary_halves_the_file_and_changes_no_answer(tmp_path):
    bundle, characters = big_bundle(tmp_path / "bundle")
    generator = np.random.default_rng(0)
    rows = ["".join(generator.choice(characters[:1500], 30)) for _ in range(200)]
    identity = {"kind": "dataset", "verb": "prepare", "task": "single_label", "labels": ["no", "yes"], "parents": {}}
    info = {"text": TextConfig().model_dump(mode="json")}
    with publish(tmp_path / "data", Identity(**identity, info=info)) as staging:
        for name, texts in (("train", rows), ("valid", rows[:20])):
            labels = ["no", "yes"] * (len(texts) // 2)
            frame = pl.DataFrame({"id": [str(place) for place in range(len(texts))], "text": texts, "label": labels})
            frame.write_parquet(staging / f"{name}.parquet")
    data = Dataset.open(tmp_path / "data")
    made = prune(bundle, data, vocabulary=1, num_epochs=0, num_threads=1, out=tmp_path / "made")
    before, after = ((one.path / "model.safetensors").stat().st_size for one in (bundle, made))
    assert json.loads((bundle.path / "config.json").read_text("utf-8"))["vocab_size"] > 20_000
    assert after < before / 2
    assert made.size_bytes < bundle.size_bytes / 2
    vocab = json.loads((made.path / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    assert sorted(vocab.values()) == list(range(len(vocab)))
    assert set(SPECIAL_TOKENS) <= set(vocab)
    known = [*rows[:16], "".join(reversed(rows[0]))]
    ours, theirs = (open_bundle(one).predict_proba(known) for one in (made, bundle))
    assert np.abs(ours - theirs).max() < 1e-6
    tokenizer = AutoTokenizer.from_pretrained(made.path)
    network, loading = AutoModelForSequenceClassification.from_pretrained(made.path, output_loading_info=True)
    assert not any(loading.values())
    with torch.inference_mode():
        logits_BC = network(**tokenizer(known, padding=True, truncation=True, return_tensors="pt")).logits
    assert np.abs(logits_BC.softmax(1).numpy() - ours).max() < 1e-5


def test_single_weights_become_zero_and_only_the_compressed_file_is_smaller(dataset, encoder, tmp_path):
    made = prune(encoder, dataset, weights=0.6, threshold=1e-4, num_threads=1, out=tmp_path / "made")
    facts = made.summary()
    assert made.format == "torch"
    assert facts["compressed_mb"] < 0.9 * facts["compressed_mb_before"]
    assert facts["size_ratio"] == pytest.approx(1, abs=0.05)
    assert facts["sparsity"] == pytest.approx(0.6, abs=0.01)


def test_single_weights_of_light_models_too(dataset, tmp_path):
    bundle = train(dataset, model="ngram", num_epochs=2, batch_size=16, num_threads=1, out=tmp_path / "ngram")
    made = prune(bundle, dataset, weights=0.9, num_threads=1, out=tmp_path / "made")
    assert made.format == "ngram"
    assert made.summary()["sparsity"] == pytest.approx(0.9, abs=0.01)


def test_what_cannot_be_pruned_is_refused_before_anything_is_asked(dataset, encoder, tmp_path, caplog):
    out = tmp_path / "made"
    caplog.set_level(logging.INFO, logger="yanmo")
    with pytest.raises(ConfigError, match="prune has nothing to leave out"):
        prune(encoder, dataset, out=out)
    with pytest.raises(ConfigError, match="either parts or single weights"):
        prune(encoder, dataset, heads=0.5, weights=0.5, out=out)
    with pytest.raises(ConfigError, match="'layers' parameter of prune must be less than 3"):
        prune(encoder, dataset, layers=3, **FAST, out=out)
    with pytest.raises(ConfigError, match="'heads' parameter of prune must be less than 1"):
        prune(encoder, dataset, heads=1.0, out=out)
    with pytest.raises(ConfigError, match="nothing out: the shares of the 2 heads and the 512 neurons"):
        prune(encoder, dataset, heads=0.1, feed_forward=0.01, **FAST, out=out)
    linear = train(dataset, model="linear", num_threads=1, out=tmp_path / "linear")
    with pytest.raises(
        ArtifactError, match="cuts parts out of torch encoders and language models.*holds linear, of format linear"
    ):
        prune(linear, dataset, heads=0.5, out=out)
    with pytest.raises(ArtifactError, match="takes a single model.*of format ensemble"):
        prune(ensemble(dataset, [linear, encoder], out=tmp_path / "both"), dataset, heads=0.5, out=out)
    albert = train(dataset, model="albert-1x32", **{**SMALL, "num_epochs": 1}, out=tmp_path / "albert")
    with pytest.raises(ConfigError, match="prune cannot cut parts out of AlbertForSequenceClassification"):
        prune(albert, dataset, feed_forward=0.5, fork=True, **FAST, out=out)
    assert not any("The teacher answers" in message for message in caplog.messages)


def test_another_kind_of_device_and_several_workers_are_refused(dataset, encoder, tmp_path, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    watching = Effects(watchers=(killed,))
    with pytest.raises(KeyboardInterrupt):
        prune(encoder, dataset, feed_forward=0.5, **FAST, out=tmp_path / "made", effects=watching)
    with monkeypatch.context() as patch, pytest.raises(ConfigError, match="kind of device: cpu → cuda"):
        patch.setattr(determinism, "default_device", lambda: "cuda")
        prune(encoder, dataset, feed_forward=0.5, **FAST, out=tmp_path / "made")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="Several workers cannot prune together"):
        prune(encoder, dataset, feed_forward=0.5, **FAST, out=tmp_path / "made")


def test_without_torch_parts_cannot_be_pruned(dataset, encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="Pruning parts needs the package 'transformers'"):
        prune(encoder, dataset, heads=0.5, **FAST, out=tmp_path / "made")
    assert not list(tmp_path.glob(".made*"))


def test_single_weights_of_a_graph_cannot_be_pruned(dataset, encoder, tmp_path):
    with pytest.raises(ArtifactError, match=r"sets weights to zero in model\.safetensors.*of format onnx and has none"):
        prune(export(encoder, out=tmp_path / "graph"), dataset, weights=0.5, out=tmp_path / "made")
