"""A window Bundle answers about the units of a text the same, whoever stands beside it and however long it is."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from yanmo.answers import tag_chains
from yanmo.answers.chains import Chain, Steps, log_marginals
from yanmo.answers.links import SOFTMAX
from yanmo.errors import ArtifactError, InternalError
from yanmo.runtimes import window
from yanmo.runtimes.window import WindowRuntime, open_runtime
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.window_features import WindowConfig, WindowFeatures

BITS = 14
LABELS = ["B-x", "B-y", "I-x", "I-y", "O"]
NUM_LABELS = 5
TEXTS = [
    "很快，好吃",
    "",
    "great food, fast delivery",
    " \t",
    "😀🙏🏽",
    "好",
    "长" * 700,
    "word " * 300,
    "\ud800 one",
    "甲\x1e乙",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of a Bundle with random weights."""
    path, random = tmp_path_factory.mktemp("window"), np.random.default_rng(0)
    kept = random.random(1 << BITS) < 0.6
    tensors = {
        "kept": np.packbits(kept, bitorder="little"),
        "weights": random.integers(-128, 128, size=(int(kept.sum()), NUM_LABELS)).astype(np.int8),
        "unit": np.array([0.004], dtype=np.float32),
        "transitions": random.normal(size=(NUM_LABELS, NUM_LABELS)).astype(np.float32),
        "start": random.normal(size=NUM_LABELS).astype(np.float32),
        "end": random.normal(size=NUM_LABELS).astype(np.float32),
        "sharpness": np.array([2], dtype=np.float32),
    }
    save_file(tensors, path / "model.safetensors")
    config = WindowConfig(units="characters", bits=BITS)
    (path / "window.json").write_text(json.dumps(config.model_dump(mode="json")))
    return path


@pytest.fixture(scope="module")
def runtime(folder):
    return open_runtime(
        SimpleNamespace(path=folder, task="token_labels", labels=LABELS, text_config=TextConfig()),
        device="cpu",
        num_threads=1,
    )


def read(texts):
    return TextPipeline(TextConfig(units="characters")).read(Inputs((texts,)))


def probabilities(runtime, texts):
    return runtime.infer(read(texts)).scores.activate()


def test_a_text_has_the_same_evidence_alone_and_in_any_batch(runtime):
    together = probabilities(runtime, TEXTS)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = probabilities(runtime, [TEXTS[place] for place in order])
    assert together.take(order).distance_N(shuffled).max() < 1e-5
    for row, text in enumerate(TEXTS):
        assert together.take(np.array([row])).distance_N(probabilities(runtime, [text])).max() < 1e-5


def test_blocks_of_any_size_give_the_same(runtime, monkeypatch):
    expected = probabilities(runtime, TEXTS)
    monkeypatch.setattr(window, "BLOCK_LANES", 7)
    monkeypatch.setattr(tag_chains, "BLOCK_SUMS", 0)
    monkeypatch.setattr(tag_chains, "LEAST_UNITS", 50)
    assert probabilities(runtime, TEXTS).distance_N(expected).max() < 1e-5


def test_the_scores_are_sums_of_weights_through_the_chain(runtime, folder):
    inputs, tensors = read(TEXTS), load_file(folder / "model.safetensors")
    weights_VC = np.zeros((1 << BITS, NUM_LABELS), dtype=np.float32)
    weights_VC[np.unpackbits(tensors["kept"], bitorder="little") > 0] = tensors["weights"] * tensors["unit"]
    buckets = WindowFeatures(inputs.units, WindowConfig(units="characters", bits=BITS)).matrix()
    chain = Chain(tensors["transitions"], tensors["start"], tensors["end"])
    steps = Steps.of(inputs.units.places.offsets)
    expected_UC = log_marginals(weights_VC[buckets].sum(axis=1), steps, chain, sharpness=2.0)
    scores = runtime.infer(inputs).scores
    np.testing.assert_allclose(scores.values_MC, expected_UC, atol=1e-3)
    np.testing.assert_array_equal(scores.ends, inputs.units.places.offsets)
    np.testing.assert_array_equal(scores.places, inputs.units.places.values)


def test_units_that_training_hardly_met_are_counted(runtime, folder):
    found = runtime.infer(read(TEXTS)).found
    assert found.num_tokens_N.tolist() == [len("".join(text.split())) for text in TEXTS]
    assert not found.truncated_N.any()
    kept = np.unpackbits(load_file(folder / "model.safetensors")["kept"], bitorder="little")
    config = WindowConfig(units="characters", bits=BITS)
    own = config.templates.index((("unit", 0),))
    buckets = WindowFeatures(read(["很快，好吃"]).units, config).matrix()[:, own]
    assert found.num_unknown_N[0] == (kept[buckets] == 0).sum()


def test_no_texts_have_no_answer(runtime):
    inferred = runtime.infer(read([]))
    assert inferred.scores.values_MC.shape == (0, NUM_LABELS)
    assert len(inferred.scores) == len(inferred.found.num_tokens_N) == 0


def test_texts_without_units_are_refused(runtime):
    with pytest.raises(InternalError, match="reads units"):
        runtime.infer(Inputs((["很快"],)))


def test_a_table_that_does_not_fit_its_declaration_is_refused(folder, tmp_path):
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "window.json").write_text((folder / "window.json").read_text().replace(str(BITS), "15"))
    with pytest.raises(ArtifactError, match=r"window\.json declares 2\^15 buckets"):
        WindowRuntime(SimpleNamespace(path=tmp_path, labels=LABELS), SOFTMAX, LABELS)
