"""Folders that earlier schema versions wrote open and answer; each was made by the version before the one that follows.

``schema_1``: one Bundle of each format, the Dataset they were made from, Predictions, a Report, and a Bundle of pairs.
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import yanmo
from yanmo.artifacts import Bundle, Dataset, Predictions, Report
from yanmo.artifacts.base import SCHEMA_VERSION
from yanmo.artifacts.migrations import GOLDEN_STEPS, upgraded

SCHEMA_1 = Path(__file__).parent / "schema_1"
BUNDLES = ["linear", "ngram", "torch", "onnx", "ensemble", "cascade"]


def test_a_dataset_of_schema_1_opens():
    dataset = Dataset.open(SCHEMA_1 / "dataset")
    assert (dataset.manifest.schema_version, SCHEMA_VERSION) == (1, 2)
    assert dataset.labels == ["bad", "good"]
    assert dataset.split("test").columns == ["id", "text", "label"]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_of_schema_1_gives_its_golden_answers_and_is_measured(name, tmp_path):
    bundle = Bundle.open(SCHEMA_1 / name)
    assert bundle.manifest.schema_version == 1
    with yanmo.load(bundle) as predictor:  # which compares the golden answers
        golden = bundle.golden()
        assert len(golden.inputs) >= 8
        evidence = predictor.task.read(golden.evidence)
        assert evidence.values_MC.shape == (len(golden.inputs), 2)
        assert predictor.predict_proba(golden.inputs.items()) == pytest.approx(evidence.values_MC, abs=1e-4)
    report = yanmo.evaluate(bundle, SCHEMA_1 / "dataset", measure_speed=False, num_resamples=100, out=tmp_path / "r")
    assert report.metrics["accuracy"] >= 0.5


def test_a_bundle_of_schema_1_becomes_one_of_the_newest_schema(tmp_path):
    made = yanmo.quantize(SCHEMA_1 / "linear", SCHEMA_1 / "dataset", max_drop=1.0, num_threads=1, out=tmp_path / "q")
    assert made.manifest.schema_version == SCHEMA_VERSION
    assert made.golden().inputs == Bundle.open(SCHEMA_1 / "linear").golden().inputs
    whole = yanmo.ensemble(SCHEMA_1 / "dataset", [SCHEMA_1 / "linear", made.path], num_threads=1, out=tmp_path / "e")
    assert len(whole.members()) == 2


def test_golden_examples_of_pairs_of_schema_1_keep_both_columns():
    golden = Bundle.open(SCHEMA_1 / "pair-linear").golden()
    assert len(golden.inputs.columns) == 2
    assert [text[::-1] for text in golden.inputs.first] == golden.inputs.second
    with yanmo.load(SCHEMA_1 / "pair-linear") as predictor:
        assert len(predictor.predict([("good day", "yad doog")])) == 1


def test_predictions_and_a_report_of_schema_1_open():
    predictions = Predictions.open(SCHEMA_1 / "predictions")
    assert predictions.probabilities_NC.shape == (len(predictions.ids), 2)
    assert isinstance(predictions.frame()["probabilities"].dtype, pl.Array)
    assert np.allclose(predictions.probabilities_NC.sum(axis=1), 1)
    report = Report.open(SCHEMA_1 / "report")
    assert report.metrics["accuracy"] == report.summary()["accuracy"]


def test_steps_are_taken_from_the_version_of_the_file_on():
    steps = {1: lambda content: {**content, "one": 1}, 3: lambda content: {**content, "three": 3}}
    assert upgraded({}, 1, steps) == {"one": 1, "three": 3}
    assert upgraded({}, 2, steps) == {"three": 3}
    assert upgraded({}, 4, steps) == {}
    assert max(GOLDEN_STEPS) < SCHEMA_VERSION


@pytest.mark.parametrize("name", ["calibrated-linear", "int8-linear", "multi-linear"])
def test_calibrated_small_and_multi_label_bundles_of_schema_1_answer_as_they_did(name):
    bundle = Bundle.open(SCHEMA_1 / name)
    assert bundle.manifest.schema_version == 1
    assert (bundle.calibration is not None) == (name == "calibrated-linear")
    with yanmo.load(bundle) as predictor:
        golden = bundle.golden()
        evidence = predictor.task.read(golden.evidence)
        # To the digits that golden answers keep.
        tolerance = 1e-4 if name == "int8-linear" else 1e-6
        assert predictor.predict_proba(golden.inputs.items()) == pytest.approx(evidence.values_MC, abs=tolerance)


def test_a_multi_label_bundle_of_schema_1_is_measured_as_before(tmp_path):
    dataset = Dataset.open(SCHEMA_1 / "multi-dataset")
    assert dataset.split("train")["label"].dtype == pl.List(pl.String)
    measured = yanmo.evaluate(
        SCHEMA_1 / "multi-linear", dataset, split="valid", measure_speed=False, num_resamples=100, out=tmp_path / "r"
    ).metrics
    written = Bundle.open(SCHEMA_1 / "multi-linear").manifest.info["summary"]
    for name in ("accuracy", "micro_f1", "macro_f1"):
        assert measured[name] == pytest.approx(written[f"valid_{name}"], abs=1e-6)
