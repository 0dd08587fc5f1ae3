"""Opening Bundles: golden examples, exports that answer as torch does, processes without torch, wrong settings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from yanmo.artifacts.bundle import FORMATS, GOLDEN, Bundle
from yanmo.errors import ArtifactError, ConfigError
from yanmo.runtimes.opening import RUNTIMES
from yanmo.runtimes.predictor import default_num_threads, open_bundle

TEXTS = ["很快，好吃", "", "cold & late", "a b c " * 40, "😀", "好" * 60]


def _changed(bundle, folder, change):
    """Return a copy of a Bundle whose golden examples were changed."""
    shutil.copytree(bundle.path, folder)
    golden = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
    change(golden)
    (folder / GOLDEN).write_text(json.dumps(golden), encoding="utf-8")
    return Bundle.open(folder, verify=False)


def test_every_format_has_a_runtime():
    assert set(RUNTIMES) == set(FORMATS)


def test_the_table_of_bundles_has_every_format(bundle):
    assert bundle.format in RUNTIMES


@pytest.mark.parametrize("name", ["textcnn", "bilstm_multi_label", "bert", "bert_pair", "albert_pair", "gpt2", "t5"])
def test_an_export_answers_as_torch_does(name, get_bundle, predictors):
    torch_predictor, onnx_predictor = predictors(get_bundle(name)), predictors(get_bundle(f"{name}_onnx"))
    items = list(zip(TEXTS, TEXTS[::-1], strict=True)) if len(torch_predictor.task.inputs) == 2 else TEXTS
    torch_evidence, torch_found = torch_predictor.infer(items)
    onnx_evidence, onnx_found = onnx_predictor.infer(items)
    assert torch_evidence.distance_N(onnx_evidence).max() <= 1e-5
    assert np.array_equal(torch_found.num_tokens_N, onnx_found.num_tokens_N)
    assert np.array_equal(torch_found.truncated_N, onnx_found.truncated_N)


def test_a_changed_golden_example_is_named(get_bundle, tmp_path):
    def change(golden):
        golden["evidence"]["probabilities"][2] = [1.0, 0.0, 0.0]

    bundle = _changed(get_bundle("ngram"), tmp_path / "changed", change)
    with pytest.raises(ArtifactError, match=r"golden text 3 of 8 differs by 0\.\d+, more than 0\.0001") as caught:
        open_bundle(bundle)
    assert caught.value.hint
    open_bundle(bundle, verify_golden=False)


def test_a_golden_example_that_is_no_number_is_an_error(get_bundle, tmp_path):
    def change(golden):
        golden["evidence"]["probabilities"][0] = [None, 0.0, 0.0]

    bundle = _changed(get_bundle("ngram"), tmp_path / "changed", change)
    with pytest.raises(ArtifactError, match="golden text 1 of 8"):
        open_bundle(bundle)


@pytest.mark.parametrize("evidence", [{"answers": [[1.0, 0.0, 0.0]]}, {"probabilities": [[0.5, 0.5]]}])
def test_golden_answers_that_are_not_those_of_the_labels_are_an_error(evidence, get_bundle, tmp_path):
    folder = shutil.copytree(get_bundle("ngram").path, tmp_path / "changed")
    (folder / GOLDEN).write_text(json.dumps({"inputs": {"text": ["a"]}, "evidence": evidence}))
    with pytest.raises(ArtifactError, match=r"The golden examples of .*changed are not those of its labels: "):
        open_bundle(Bundle.open(folder, verify=False))


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "{}",
        "[]",
        '{"texts": ["a"], "texts_b": null, "probabilities": [[1.0, 0.0, 0.0]]}',
        '{"inputs": {}, "evidence": {"probabilities": []}}',
        '{"inputs": {"text": ["a"]}, "evidence": [[1.0, 0.0, 0.0]]}',
        '{"inputs": {"text": ["a"]}, "evidence": {"probabilities": [[1.0, "b", 0.0]]}}',
    ],
)
def test_golden_examples_that_cannot_be_read_are_an_error(content, get_bundle, tmp_path):
    folder = shutil.copytree(get_bundle("ngram").path, tmp_path / "changed")
    (folder / GOLDEN).unlink() if content is None else (folder / GOLDEN).write_text(content)
    with pytest.raises(ArtifactError) as caught:
        open_bundle(Bundle.open(folder, verify=False))
    assert caught.value.message.startswith(f"{folder / GOLDEN} cannot be read: ")


@pytest.mark.parametrize("name", ["textcnn_onnx", "bert_pair_onnx", "textcnn_segmented_onnx", "ngram", "linear"])
def test_a_bundle_for_serving_answers_without_torch(name, get_bundle):
    bundle = get_bundle(name)
    item = ("a", "b") if bundle.task == "text_pair" else "很快"
    code = (
        "import sys; from yanmo.runtimes.predictor import open_bundle\n"
        f"predictor = open_bundle({str(bundle.path)!r}); predictor.predict([{item!r}])\n"
        "print(sorted({'torch', 'transformers', 'sklearn', 'onnx', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_open_takes_a_path_and_a_predictor_closes(get_bundle):
    with open_bundle(str(get_bundle("linear").path)) as predictor:
        assert predictor.bundle.format == "linear"
        assert len(predictor.predict(["好"])) == 1
    with pytest.raises(ConfigError, match="The Predictor is closed"):
        predictor.predict(["好"])


@pytest.mark.parametrize("name", ["ngram", "linear", "textcnn_onnx"])
def test_only_torch_bundles_know_other_devices(name, get_bundle):
    with pytest.raises(ConfigError, match="The 'device' parameter must be 'cpu' for a Bundle of format"):
        open_bundle(get_bundle(name), device="cuda")


def test_a_device_that_torch_cannot_use_is_an_error(get_bundle):
    with pytest.raises(ConfigError, match="Got 'gpu9' instead"):
        open_bundle(get_bundle("textcnn"), device="gpu9")


def test_the_number_of_threads_is_checked_and_taken_from_the_environment(get_bundle, monkeypatch):
    with pytest.raises(ConfigError, match="'num_threads' parameter must be at least 1. Got 0 instead"):
        open_bundle(get_bundle("ngram"), num_threads=0)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    # Of this process, whose number is 0 there, and not of another one.
    monkeypatch.setattr("os.sched_getaffinity", {0: {2, 3, 5}}.__getitem__, raising=False)
    assert default_num_threads() == 3


@pytest.mark.parametrize(
    ("name", "file", "message"),
    [
        ("ngram", "ngram.json", "cannot be read"),
        ("ngram", "model.safetensors", "cannot be read"),
        ("linear", "linear.json", "cannot be read"),
        ("linear", "model.safetensors", "cannot be read"),
        ("textcnn_onnx", "onnx.json", "cannot be read"),
        ("textcnn_onnx", "onnx/model.onnx", "cannot be read"),
        ("textcnn_onnx", "tokenizer.json", "is broken"),
    ],
)
def test_a_damaged_file_is_named(name, file, message, get_bundle, tmp_path):
    folder = shutil.copytree(get_bundle(name).path, tmp_path / "damaged")
    (folder / file).write_bytes(b"{")
    with pytest.raises(ArtifactError, match=message) as caught:
        open_bundle(Bundle.open(folder, verify=False))
    assert file.rpartition("/")[2] in str(caught.value)
    with pytest.raises(ArtifactError, match="was changed"):
        open_bundle(folder)


def test_another_number_of_buckets_than_declared_is_refused(get_bundle, tmp_path):
    folder = shutil.copytree(get_bundle("ngram").path, tmp_path / "changed")
    settings = json.loads((folder / "ngram.json").read_bytes())
    (folder / "ngram.json").write_text(json.dumps(settings | {"num_buckets": settings["num_buckets"] // 2}))
    with pytest.raises(ArtifactError, match=r"both must be one power of two"):
        open_bundle(Bundle.open(folder, verify=False))


def test_other_inputs_than_declared_are_refused(get_bundle, tmp_path):
    folder = shutil.copytree(get_bundle("bert_pair_onnx").path, tmp_path / "changed")
    settings = json.loads((folder / "onnx.json").read_bytes())
    assert settings["inputs"] == ["input_ids", "lengths", "token_type_ids"]
    (folder / "onnx.json").write_text(json.dumps(settings | {"inputs": ["input_ids", "lengths"]}))
    with pytest.raises(ArtifactError, match=r"takes input_ids, lengths, token_type_ids, but onnx\.json declares"):
        open_bundle(Bundle.open(folder, verify=False))
