"""Engines: batches in order, from several threads, alike; the choice among them is measured once and remembered."""

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from yanmo.errors import ArtifactError, ConfigError, MissingExtraError
from yanmo.runtimes import engines
from yanmo.runtimes.engines import ENGINES, choice, open_engine
from yanmo.runtimes.onnx import ONNX_FILE
from yanmo.runtimes.predictor import open_bundle

NAMES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.extra("openvino"))]


@pytest.fixture
def path(get_bundle):
    return get_bundle("bert_onnx").path / ONNX_FILE


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Choices of these tests are remembered in a folder of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def feeds(num_batches):
    generator = np.random.default_rng(0)
    made = []
    for place in range(num_batches):
        shape = (1 + place % 3, 3 + place)
        ids_BT = generator.integers(5, 40, shape).astype(np.int32)
        made.append({"input_ids": ids_BT, "lengths": np.full(shape[0], shape[1], np.int32)})
    return made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_batches_come_back_in_order_alone_and_together(name, num_threads, path):
    engine = open_engine(name, path, num_threads)
    assert list(engine.inputs) == ["input_ids", "lengths"]
    asked = feeds(7)
    alone = [next(iter(engine.run([feed]))) for feed in asked]
    together = list(engine.run(asked))
    assert [one.shape[0] for one in together] == [len(feed["lengths"]) for feed in asked]
    for one_BC, other_BC in zip(alone, together, strict=True):
        np.testing.assert_allclose(one_BC, other_BC, atol=1e-5)
    assert list(engine.run([])) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_serves_several_threads(name, path):
    engine = open_engine(name, path, 2)
    asked = feeds(5)
    expected = [one.tolist() for one in engine.run(asked)]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: [one.tolist() for one in engine.run(asked)], range(12)):
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.extra("openvino")
@pytest.mark.parametrize("name", ["bert_onnx", "bert_pair_onnx", "electra_onnx", "textcnn_onnx"])
def test_openvino_answers_as_onnxruntime_does(name, get_bundle):
    bundle = get_bundle(name)
    items = bundle.golden().inputs.items()
    with open_bundle(bundle, runtime="openvino") as ours, open_bundle(bundle) as theirs:
        np.testing.assert_allclose(ours.predict_proba(items), theirs.predict_proba(items), atol=1e-5)


def test_an_engine_that_is_not_installed_names_its_extra(path, monkeypatch):
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError) as caught:
        open_engine("openvino", path, 1)
    assert str(caught.value) == (
        "The runtime openvino needs the package 'openvino', which is not installed.\n"
        "hint: pip install 'yanmo[openvino]'"
    )


def test_mistakes_are_named(get_bundle, path):
    with pytest.raises(ConfigError) as caught:
        open_engine("openvin", path, 1)
    assert caught.value.message == (
        "The 'runtime' parameter must be one of: auto, onnxruntime, openvino. Got 'openvin' instead."
        " Did you mean 'openvino'?"
    )
    bundle = get_bundle("ngram")
    with pytest.raises(ConfigError) as caught:
        open_bundle(bundle, runtime="openvino")
    assert caught.value.message == (f"The 'runtime' parameter is for ONNX Bundles; {bundle.path} is of format ngram.")


def test_auto_is_for_every_bundle(get_bundle):
    for name in ("ngram", "bert_onnx"):
        bundle = get_bundle(name)
        with open_bundle(bundle, runtime="auto") as predictor:
            assert len(predictor.predict_proba(["good"])) == 1


def choose(speeds, opened, monkeypatch, **more):
    """Choose among engines whose speed is the time that they sleep."""
    monkeypatch.setattr(choice, "installed_engines", lambda: list(speeds))
    monkeypatch.setattr(choice, "TRIAL_SECONDS", 0.02)

    def open_with(name):
        opened.append(name)
        if speeds[name] is None:
            raise ArtifactError("it answers wrongly")
        return lambda: choice.time.sleep(speeds[name])

    return choice.choose_engine("digest", 2, 100, open_with, **more)


def test_the_fastest_is_chosen_once_and_remembered(monkeypatch):
    opened = []
    monkeypatch.setattr(choice, "is_sound", lambda _: True)
    speeds = {"onnxruntime": 0.01, "openvino": 0.001}
    assert choose(speeds, opened, monkeypatch) == "openvino"
    assert choose({"onnxruntime": 0.001, "openvino": 0.01}, opened, monkeypatch) == "openvino"
    assert opened == ["onnxruntime", "openvino"]
    (key,) = json.loads(choice.cache_path().read_bytes())
    assert key.endswith("digest")
    choice.cache_path().write_bytes(b"{")
    assert choose({"onnxruntime": 0.001, "openvino": 0.01}, opened, monkeypatch) == "onnxruntime"


def test_where_only_one_is_installed_nothing_is_measured(monkeypatch):
    opened = []
    assert choose({"onnxruntime": 0.01}, opened, monkeypatch) == "onnxruntime"
    assert not opened
    assert not choice.cache_path().exists()


def test_one_that_answers_wrongly_or_dies_is_left_out(monkeypatch, caplog):
    opened = []
    monkeypatch.setattr(choice, "is_sound", lambda _: True)
    assert choose({"onnxruntime": 0.01, "openvino": None}, opened, monkeypatch) == "onnxruntime"
    assert "The runtime openvino is left out: it answers wrongly" in caplog.text
    monkeypatch.undo()
    monkeypatch.setattr(choice, "PROBE", "import os; os.kill(os.getpid(), 8)")
    choice.cache_path().unlink(missing_ok=True)
    assert choose({"onnxruntime": 0.01, "openvino": 0.001}, opened, monkeypatch) == "onnxruntime"
    assert "The runtime openvino does not work on this processor (exit code -8)." in caplog.text


@pytest.mark.extra("openvino")
def test_the_probe_passes_where_openvino_works():
    assert choice.is_sound("openvino")


def test_every_engine_of_the_table_names_a_module():
    for package, module in ENGINES.values():
        assert importlib.util.find_spec(module) is not None
        assert package
