"""calibrate: the same Bundle with better probabilities, in every runtime, replaced and never stacked."""

import numpy as np
import pytest

import yanmo
from yanmo.artifacts.profile import read_input_profile
from yanmo.combine.calibration import METHODS
from yanmo.errors import DataError
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs.calibrate import calibrate
from yanmo.verbs.train import train

LABELS = ["fruit", "tool", "city"]
SMALL = {"num_epochs": 1, "batch_size": 16, "max_length": 16, "vocab_size": 60, "num_threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("calibrate")


@pytest.fixture(scope="module")
def dataset(folder, make_words):
    return make_words(folder / "data", LABELS, num_valid=200)


@pytest.fixture(scope="module")
def shuffled(folder, make_words):
    return make_words(folder / "shuffled", LABELS[::-1], num_valid=200)


@pytest.fixture(scope="module")
def linear(dataset, folder):
    return train(dataset, model="linear", num_threads=1, out=folder / "linear")


@pytest.fixture(scope="module")
def cnn(dataset, folder):
    return train(dataset, model="textcnn", out=folder / "cnn", **SMALL)


def probabilities(bundle, texts):
    with open_bundle(bundle) as predictor:
        return predictor.predict_proba(texts)


@pytest.mark.parametrize("method", METHODS)
def test_the_calibration_error_falls_and_the_files_stay(linear, dataset, folder, method):
    found = calibrate(linear, dataset, method=method, out=folder / method)
    summary = found.summary()
    assert summary["calibration_error_after"] < summary["calibration_error_before"]
    assert summary["log_loss_after"] < summary["log_loss_before"]
    assert found.calibration["method"] == method
    before, after = read_input_profile(linear), read_input_profile(found)
    assert before.length == after.length
    assert before.confidence_edges != after.confidence_edges
    for name in ("model.safetensors", "linear.json"):
        assert found.manifest.files[name] == linear.manifest.files[name]
    assert found.manifest.parents == {
        "bundle": linear.digest,
        "calibrated_on": dataset.digest,
        "dataset": linear.manifest.parents["dataset"],
    }
    golden = found.golden()
    expected_NC = np.array(golden.evidence["probabilities"].to_list())
    np.testing.assert_allclose(probabilities(found, golden.inputs.items()), expected_NC, atol=1e-6)
    if method == "temperature":
        texts = dataset.split("test")["text"].to_list()
        same = probabilities(found, texts).argmax(axis=1) == probabilities(linear, texts).argmax(axis=1)
        assert same.all()


def test_labels_in_another_order_are_mapped(linear, dataset, shuffled, folder):
    first = calibrate(linear, dataset, method="vector", out=folder / "straight")
    second = calibrate(linear, shuffled, method="vector", out=folder / "mapped")
    assert np.allclose(first.calibration["scale"], second.calibration["scale"], atol=1e-4)


def test_a_second_calibration_takes_the_place_of_the_first(linear, dataset, folder):
    once = calibrate(linear, dataset, method="temperature", out=folder / "once")
    twice = calibrate(once, dataset, method="temperature", out=folder / "twice")
    assert twice.calibration == once.calibration
    other = calibrate(once, dataset, method="vector", out=folder / "other")
    straight = calibrate(linear, dataset, method="vector", out=folder / "vector-only")
    assert other.calibration == straight.calibration


def test_export_keeps_it(cnn, dataset, folder):
    found = calibrate(cnn, dataset, out=folder / "calibrated-cnn")
    exported = yanmo.export(found, out=folder / "exported")
    assert exported.calibration == found.calibration
    texts = dataset.split("test")["text"].to_list()
    np.testing.assert_allclose(probabilities(exported, texts), probabilities(found, texts), atol=1e-4)
    assert np.abs(probabilities(found, texts) - probabilities(cnn, texts)).max() > 1e-3


def test_a_composite_can_be_calibrated(linear, cnn, dataset, folder):
    whole = yanmo.ensemble(dataset, [linear, cnn], out=folder / "whole")
    found = calibrate(whole, dataset, method="isotonic", out=folder / "calibrated-whole")
    assert found.summary()["calibration_error_after"] < found.summary()["calibration_error_before"]
    assert [member.digest for member in found.members()] == [linear.digest, cnn.digest]
    for member in found.members():
        assert (member.path / "golden.json").is_file()


def test_the_report_shows_the_error_before_and_after(linear, dataset, shuffled, folder):
    found = calibrate(linear, dataset, method="vector", out=folder / "for-report")
    report = yanmo.evaluate(
        found, shuffled, split="valid", out=folder / "report", num_resamples=100, measure_speed=False
    )
    before = report.metrics["uncalibrated"]
    assert before["expected_calibration_error"] == pytest.approx(found.summary()["calibration_error_before"], abs=1e-4)
    assert report.metrics["expected_calibration_error"] == pytest.approx(
        found.summary()["calibration_error_after"], abs=1e-4
    )
    html = report.html_path.read_text(encoding="utf-8")
    assert html.count('aria-label="Reliability diagram') == 2
    plain = yanmo.evaluate(linear, dataset, out=folder / "plain", num_resamples=100, measure_speed=False)
    assert plain.metrics["uncalibrated"] is None


def test_many_labels_and_another_task(folder, make_words, linear, tmp_path):
    data = make_words(folder / "multi", LABELS, task="multi_label", num_valid=200)
    multi = train(data, model="linear", num_threads=1, out=folder / "multi-linear")
    for method in METHODS:
        found = calibrate(multi, data, method=method, out=folder / f"multi-{method}")
        assert found.summary()["log_loss_after"] < found.summary()["log_loss_before"]
    with pytest.raises(
        DataError, match=r"linear answers the task single_label, but .*multi is of the task multi_label"
    ):
        calibrate(linear, data, out=tmp_path / "new")
