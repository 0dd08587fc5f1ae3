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
VALID = {f"valid_{name}": name for name in ("accuracy", "macro_f1", "micro_f1")} | {"valid_loss": "log_loss"}
"""What a training measured, by its name in a Report."""
QUICK = {"measure_speed": False, "num_resamples": 100, "num_threads": 1}
OF_THE_RUN = {"command", "machine", "versions"}
"""In a Report: where and with what it was measured, which is another place and another version today."""


def flat(value, path=""):
    """Return numbers, texts and nothings in JSON values, by where they stand."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {where: one for key, part in pairs for where, one in flat(part, f"{path}/{key}").items()}
    return {path: value}


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
    report = yanmo.evaluate(bundle, SCHEMA_1 / "dataset", **QUICK, split="valid", out=tmp_path / "report").metrics
    # What was measured on these rows when it was made.
    before = {VALID[key]: score for key, score in bundle.summary().items() if key in VALID}
    assert "accuracy" in before
    assert {name: report[name] for name in before} == pytest.approx(before, abs=1e-6)
    if name == "cascade":
        facts = report["composite"]["cascade"]
        assert [facts["disagreement"], facts["shares"][0]] == [
            bundle.summary()[key] for key in ("valid_disagreement", "share_of_first_stage")
        ]
        assert report["accuracy"] + facts["accuracy_lost"] == bundle.summary()["valid_accuracy_of_last_stage"]


def test_a_report_of_schema_1_is_measured_again(tmp_path):
    before = Report.open(SCHEMA_1 / "report").metrics
    report = yanmo.evaluate(SCHEMA_1 / "linear", SCHEMA_1 / "dataset", **QUICK, out=tmp_path / "report").metrics
    found, expected = (flat({name: one[name] for name in set(before) - OF_THE_RUN}) for one in (report, before))
    scores = {where: one for where, one in expected.items() if isinstance(one, float)}
    assert len(scores) > 50
    assert {where: found[where] for where in scores} == pytest.approx(scores, rel=1e-4, abs=1e-6)
    assert {**found, **scores} == expected


def test_predictions_of_schema_1_are_given_again(tmp_path):
    before = Predictions.open(SCHEMA_1 / "predictions").frame()
    answers = yanmo.predict(SCHEMA_1 / "linear", SCHEMA_1 / "dataset", num_threads=1, out=tmp_path / "answers").frame()
    assert answers.columns == before.columns
    assert answers.select("id", "prediction").equals(before.select("id", "prediction"))
    for name in ("probability", "probabilities"):
        assert answers[name].to_numpy() == pytest.approx(before[name].to_numpy(), abs=1e-5)


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
