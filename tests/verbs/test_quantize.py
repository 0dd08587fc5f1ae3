"""quantize: smaller Bundles that answer alike, or nothing is written; the gate says what it cost."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from yanmo.artifacts import Bundle, Dataset
from yanmo.cli import main
from yanmo.errors import ArtifactError, ConfigError, ModelError
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs.ensemble import ensemble
from yanmo.verbs.export import export
from yanmo.verbs.quantize import quantize
from yanmo.verbs.train import train

LABELS = ["city", "fruit", "tool"]
SMALL = {"num_epochs": 4, "batch_size": 16, "max_length": 24, "vocab_size": 100, "num_threads": 1}
MODELS = ("bert-2x32", "albert-2x32", "textcnn", "bilstm")
RATES = {"textcnn": 1e-2, "bilstm": 1e-2}
METHODS = ("int8-static", "int8-dynamic", "weight-only")


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("data") / "words", LABELS)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """Return a Bundle of a small model that has learned the topics; each is made once."""
    made = {}

    def get(model):
        if model not in made:
            settings = {} if model in ("ngram", "linear") else {"learning_rate": RATES.get(model, 3e-3), **SMALL}
            made[model] = train(dataset, model=model, out=tmp_path_factory.mktemp("models") / model, **settings)
        return made[model]

    return get


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_the_new_bundle_is_smaller_and_answers_alike(model, method, trained, dataset, tmp_path):
    bundle = trained(model)
    made = quantize(bundle, dataset, method=method, max_drop=0.05, num_threads=1, out=tmp_path / "int8")
    texts = dataset.split("test")["text"].to_list()
    with open_bundle(bundle) as before, open_bundle(made) as after:
        differences_NC = np.abs(before.predict_proba(texts) - after.predict_proba(texts))
    assert differences_NC.mean() < 0.02
    assert made.manifest.info["precision"] == "int8"
    facts = made.manifest.info["quantization"]
    assert facts["kept_fp32"] == []
    assert facts["accuracy_drop"] <= 0.05
    low, high = facts["accuracy_drop_interval"]
    assert low <= facts["accuracy_drop"] <= high
    assert made.manifest.info["summary"]["size_ratio"] < 0.95  # of a tiny model: names and texts take most of it


@pytest.mark.parametrize("model", ["ngram", "linear"])
def test_light_models_keep_their_format_and_their_speed(model, trained, dataset, tmp_path, caplog):
    bundle = trained(model)
    made = quantize(bundle, dataset, max_drop=0.05, method="weight-only", out=tmp_path / "int8")
    assert f"The 'method' parameter has no effect on a Bundle of format {model}." in caplog.text
    assert made.format == model
    weights = "model.safetensors"
    assert made.manifest.files[weights].bytes < 0.3 * bundle.manifest.files[weights].bytes + 20_000
    texts = dataset.split("test")["text"].to_list()
    with open_bundle(bundle) as before, open_bundle(made) as after:
        np.testing.assert_allclose(after.predict_proba(texts), before.predict_proba(texts), atol=0.03)
        again = quantize(bundle, dataset, max_drop=0.05, method="weight-only", out=tmp_path / "again")
    assert again.digest == made.digest


def test_static_answers_do_not_depend_on_the_batch(trained, dataset, tmp_path):
    made = quantize(trained("bert-2x32"), dataset, out=tmp_path / "int8")
    texts = dataset.split("test")["text"].to_list()
    with open_bundle(made) as predictor:
        together_NC = predictor.predict_proba(texts)
        alone_NC = np.concatenate([predictor.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(alone_NC, together_NC, atol=1e-5)


def test_a_torch_bundle_and_its_export_become_the_same_file_every_time(trained, dataset, tmp_path):
    exported = export(trained("bert-2x32"), out=tmp_path / "onnx")
    digests = {
        quantize(source, dataset, num_threads=1, out=tmp_path / f"int8-{place}")
        .manifest.files["onnx/model.onnx"]
        .sha256
        for place, source in enumerate((trained("bert-2x32"), exported, exported))
    }
    assert len(digests) == 1


def test_an_int8_bundle_asks_its_golden_examples_again(trained, dataset, tmp_path):
    made = quantize(trained("textcnn"), dataset, out=tmp_path / "int8")
    golden = json.loads((made.path / "golden.json").read_bytes())
    rows = golden["evidence"]["probabilities"]
    rows[0] = rows[0][::-1]
    changed = shutil.copytree(made.path, tmp_path / "changed")
    (changed / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(ArtifactError, match="does not answer as it did when it was made"):
        open_bundle(Bundle.open(changed, verify=False))


def test_what_ruins_the_answers_goes_back_to_fp32(trained, dataset, tmp_path, caplog):
    """One weight is made so large that eight bits for the whole tensor leave nothing of the others."""
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(trained("bert-2x32").path, tmp_path / "outlier")
    weights = load_file(folder / "model.safetensors")
    weights = {name: array.copy() for name, array in weights.items()}
    weights["bert.pooler.dense.weight"][0, 0] = 3000.0
    weights["classifier.weight"][:, 0] = 0.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    bundle = Bundle.open(folder, verify=False)
    options = {"method": "weight-only", "granularity": "per-tensor", "max_drop": 0.0, "num_threads": 1}
    golden = json.loads((folder / "golden.json").read_bytes())
    with open_bundle(bundle, verify_golden=False) as predictor:
        golden["evidence"]["probabilities"] = predictor.predict_proba(golden["inputs"]["text"]).tolist()
    (folder / "golden.json").write_text(json.dumps(golden))
    with caplog.at_level("WARNING"):
        made = quantize(Bundle.open(folder, verify=False), dataset, out=tmp_path / "int8", **options)
    assert made.manifest.info["quantization"]["kept_fp32"] == ["head.hidden"]
    assert "These parts stay fp32: head.hidden." in caplog.text


def test_the_gate_judges_calibrated_answers(trained, dataset, tmp_path):
    """A calibration that prefers one label so much that no other is chosen."""
    folder = shutil.copytree(trained("linear").path, tmp_path / "calibrated")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["info"]["calibration"] = {"method": "vector", "scale": [1.0] * 3, "bias": [100.0, 0.0, 0.0]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    golden = json.loads((folder / "golden.json").read_bytes())
    golden["evidence"]["probabilities"] = [[1.0, 0.0, 0.0]] * len(golden["inputs"]["text"])
    (folder / "golden.json").write_text(json.dumps(golden))
    made = quantize(Bundle.open(folder, verify=False), dataset, out=tmp_path / "int8")
    share = (dataset.split("valid")["label"] == LABELS[0]).mean()
    assert made.manifest.info["quantization"]["fp32_accuracy"] == pytest.approx(share)
    assert made.manifest.info["calibration"] == manifest["info"]["calibration"]


@pytest.mark.parametrize("model", ["linear", "textcnn"])
def test_with_many_labels_the_gate_is_on_micro_f1(make_words, tmp_path, model):
    data = make_words(tmp_path / "data", LABELS, task="multi_label")
    settings = {} if model == "linear" else {"learning_rate": RATES[model], **SMALL}
    bundle = train(data, model=model, out=tmp_path / "model", **settings)
    made = quantize(bundle, data, out=tmp_path / "int8")
    noted, summary = made.manifest.info["quantization"], made.summary()
    assert {"fp32_micro_f1", "micro_f1", "micro_f1_drop", "micro_f1_drop_interval"} <= set(noted)
    assert noted["fp32_micro_f1"] == pytest.approx(bundle.summary()["valid_micro_f1"], abs=1e-6)
    assert summary["valid_micro_f1"] == pytest.approx(noted["micro_f1"], abs=1e-6)
    assert noted["micro_f1_drop"] == summary["micro_f1_drop"] <= 0.005 + 1e-9
    assert "accuracy" not in noted


def test_more_than_all_of_a_rate_cannot_be_lost(trained, dataset, tmp_path):
    with pytest.raises(ConfigError) as caught:
        quantize(trained("linear"), dataset, max_drop=5, out=tmp_path / "int8")
    assert str(caught.value) == (
        "The 'max_drop' parameter of quantize must be in [0, 1] where the headline is the accuracy. Got 5 instead.\n"
        "hint: It is a share: 0.01 is one point."
    )


def test_mistakes_are_named(trained, dataset, make_words, tmp_path, capsys):
    members = [trained("linear"), trained("ngram")]
    both = ensemble(dataset, members, method="average", out=tmp_path / "both")
    with pytest.raises(ArtifactError) as caught:
        quantize(both, dataset, out=tmp_path / "a")
    assert str(caught.value) == (
        f"quantize takes a single model. {both.path} is of format ensemble.\nhint: Quantize the members, then ensemble."
    )
    made = quantize(trained("textcnn"), dataset, out=tmp_path / "int8")
    with pytest.raises(ArtifactError) as caught:
        quantize(made, dataset, out=tmp_path / "b")
    assert (
        str(caught.value)
        == f"{made.path} is int8 already.\nhint: Use it as it is, or give the Bundle that it was quantized from."
    )
    without = shutil.copytree(dataset.path, tmp_path / "without")
    (without / "valid.parquet").unlink()
    with pytest.raises(ArtifactError):
        quantize(trained("textcnn"), Dataset.open(without, verify=False), out=tmp_path / "d")
    assert main(["quantize", str(made.path), str(dataset.path), "--out", str(tmp_path / "e")]) == 2
    assert "is int8 already" in capsys.readouterr().err
    assert not [one for one in "abcde" if (tmp_path / one).exists()]


def test_nothing_is_written_if_every_choice_loses_too_much(trained, dataset, tmp_path, monkeypatch):
    from yanmo.compressing import quantizing

    compare = quantizing.Gate.compare

    def lose(*given):
        found = compare(*given)
        return replace(found, ours=found.theirs - 0.25)

    monkeypatch.setattr(quantizing.Gate, "compare", lose)
    with pytest.raises(ModelError) as caught:
        quantize(trained("textcnn"), dataset, out=tmp_path / "int8")
    assert caught.value.message == (
        "Every choice of int8 parts loses more accuracy than 0.005; the last lost 0.2500 on 60 validation texts."
    )
    assert not (tmp_path / "int8").exists()
