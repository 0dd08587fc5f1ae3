"""ensemble: every method on real Bundles, whatever their label order, and every mistake with its exact message."""

import json
import logging
import shutil

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

import yanmo
from yanmo.artifacts import Bundle, Predictions
from yanmo.artifacts.predictions import PREDICTIONS
from yanmo.cli import main
from yanmo.errors import ArtifactError, ConfigError, DataError
from yanmo.metrics import accuracy
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import get_task
from yanmo.verbs.ensemble import ensemble
from yanmo.verbs.train import train

FAST = {"num_epochs": 3, "batch_size": 16, "num_threads": 1}
SMALL = {**FAST, "max_length": 16, "vocab_size": 60}
METHODS = ["average", "soft-vote", "weighted", "weighted-by-score", "vote", "log-linear", "greedy", "stacking"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ensemble")


@pytest.fixture(scope="module")
def dataset(folder, make_words):
    return make_words(folder / "data", ["fruit", "tool", "city"])


@pytest.fixture(scope="module")
def shuffled(folder, make_words):
    """The same rows with the labels in another order."""
    return make_words(folder / "shuffled", ["tool", "city", "fruit"])


@pytest.fixture(scope="module")
def members(dataset, shuffled, folder):
    return [
        train(dataset, model="textcnn", seed=2, out=folder / "cnn2", **SMALL),
        train(shuffled, model="linear", folds=2, num_threads=1, out=folder / "linear"),
        train(dataset, model="textcnn", folds=2, out=folder / "cnn", **SMALL),
    ]


def scores(bundle, dataset, split):
    rows = dataset.split(split)
    with open_bundle(bundle) as predictor:
        order = [predictor.labels.index(label) for label in dataset.labels]
        probabilities_NC = predictor.predict_proba(rows["text"].to_list())[:, order]
    task = get_task(dataset.task)
    return accuracy(task.choose(probabilities_NC), task.encode(rows["label"], dataset.labels)), probabilities_NC


@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_a_bundle_that_is_not_worse(members, dataset, folder, method):
    members = members[1:] if method == "stacking" else members
    whole = ensemble(dataset, members, method=method, out=folder / method)
    assert (whole.format, whole.model, whole.labels) == ("ensemble", method, dataset.labels)
    assert whole.manifest.parents["dataset"] == dataset.digest
    assert [member.digest for member in whole.members()] == [member.digest for member in members]
    singles = [scores(member, dataset, "test")[0] for member in members]
    score, probabilities_NC = scores(whole, dataset, "test")
    assert score >= np.median(singles)
    np.testing.assert_allclose(probabilities_NC.sum(axis=1), 1, atol=1e-5)
    valid_score, _ = scores(whole, dataset, "valid")
    assert whole.summary()["valid_accuracy"] == pytest.approx(valid_score, abs=1e-6)
    assert whole.summary()["num_members"] == len(members)
    again = ensemble(dataset, members, method=method, out=folder / f"{method}-again")
    assert again.digest == whole.digest


@pytest.mark.extra("lightgbm")
def test_lightgbm_is_stored_as_text_and_answers(members, dataset, folder):
    whole = ensemble(dataset, members[1:], method="stacking-lightgbm", num_threads=1, out=folder / "lightgbm")
    assert (whole.path / "stacker-1.txt").read_text().startswith("tree")
    assert scores(whole, dataset, "test")[0] >= 0.7


def test_calibrated_and_exported_members_keep_their_out_of_fold_answers(members, dataset, folder):
    calibrated = yanmo.calibrate(members[1], dataset, out=folder / "calibrated")
    exported = yanmo.export(members[2], out=folder / "exported")
    whole = ensemble(dataset, [calibrated, exported], method="stacking", out=folder / "derived")
    assert scores(whole, dataset, "test")[0] >= 0.7


def test_pairs_and_many_labels(folder, make_words):
    for task, headline in (("text_pair", "accuracy"), ("multi_label", "micro_f1")):
        data = make_words(folder / task, ["fruit", "tool", "city"], task=task)
        models = {"textcnn": SMALL, "linear": {"num_threads": 1}}
        pair = [
            train(data, model=name, folds=2, out=folder / f"{task}-{name}", **more) for name, more in models.items()
        ]
        for method in ("weighted", "vote", "stacking"):
            whole = ensemble(data, pair, method=method, out=folder / f"{task}-{method}")
            assert (whole.task, whole.format) == (task, "ensemble")
            scores = whole.summary()
            assert scores[f"valid_{headline}"] >= scores[f"valid_{headline}_of_best_member"] - 0.1


def test_an_ensemble_may_be_a_member_and_is_evaluated_against_its_members(members, dataset, folder):
    inner = ensemble(dataset, members[:2], out=folder / "inner")
    outer = ensemble(dataset, [inner, members[2]], method="weighted", out=folder / "outer")
    assert [member.model for member in outer.members()] == ["average", "textcnn"]
    report = yanmo.evaluate(outer, dataset, out=folder / "report", num_resamples=100, measure_speed=False)
    whole = report.metrics["composite"]
    assert [row["bundle"]["name"] for row in whole["members"]] == ["1-average", "2-textcnn"]
    for row, member in zip(whole["members"], (inner, members[2]), strict=True):
        assert row["accuracy"] == pytest.approx(scores(member, dataset, "test")[0])
        low, high = row["accuracy_difference_interval"]
        assert low <= row["accuracy_difference"] <= high
    assert whole["agreement"][0] == [1.0, whole["agreement"][1][0]]
    assert [row["accuracy"] for row in whole["leave_one_out"]] == pytest.approx(
        [scores(member, dataset, "test")[0] for member in (members[2], inner)]
    )
    assert whole["cascade"] is None
    assert len(report.summary()["members"]) == 2
    assert "What each member adds" in report.html_path.read_text(encoding="utf-8")


def test_a_soup_is_one_bundle_of_the_mean_weights(members, dataset, folder):
    other = train(dataset, model="textcnn", out=folder / "cnn6", **{**SMALL, "num_epochs": 6})
    soup = ensemble(dataset, [members[2], other], method="average-weights", out=folder / "soup")
    assert (soup.format, soup.model, soup.members()) == ("torch", "textcnn", [])
    weights = [load_file(one.path / "model.safetensors") for one in (members[2], other, soup)]
    for name, tensor in weights[2].items():
        np.testing.assert_allclose(tensor, (weights[0][name] + weights[1][name]) / 2, atol=1e-6)
    assert not (soup.path / "out_of_fold").exists()
    assert scores(soup, dataset, "valid")[0] == pytest.approx(soup.summary()["valid_accuracy"], abs=1e-6)
    greedy = ensemble(dataset, [members[2], other], method="average-weights-greedy", out=folder / "greedy-soup")
    best = greedy.summary()["valid_accuracy_of_best_member"]
    assert greedy.summary()["valid_accuracy"] >= best
    assert greedy.summary()["num_averaged"] in (1, 2)


def test_members_of_different_shapes_make_no_soup(members, dataset, folder, tmp_path):
    with pytest.raises(ArtifactError) as caught:
        ensemble(dataset, [members[1], members[2]], method="average-weights", out=tmp_path / "soup")
    assert str(caught.value) == (
        f"average-weights needs members of one shape: {members[2].path} and {members[1].path} differ in format.\n"
        "hint: Train the members on one Dataset with the same model and sizes, only with other seeds or learning rates."
    )
    whole = ensemble(dataset, members, out=tmp_path / "whole")
    with pytest.raises(
        ArtifactError, match="average-weights needs members with weights to average; .* is of format ensemble"
    ):
        ensemble(dataset, [whole, whole], method="average-weights", out=tmp_path / "soup")
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_one_member_is_refused(members, dataset, tmp_path):
    with pytest.raises(ConfigError) as caught:
        ensemble(dataset, members[:1], out=tmp_path / "new")
    assert str(caught.value) == (
        "The 'members' input of ensemble must be at least 2 Bundles. Got 1 instead.\n"
        "hint: Name more Bundles, or a stage that makes several."
    )


def test_members_with_other_labels_are_named(members, dataset, folder, make_words, tmp_path):
    two = make_words(folder / "two", ["fruit", "tool"])
    fewer = train(two, model="linear", num_threads=1, out=folder / "fewer")
    with pytest.raises(DataError) as caught:
        ensemble(dataset, [members[0], fewer], out=tmp_path / "new")
    assert str(caught.value) == (
        f"{fewer.path} has no label 'city', which {dataset.path} has.\n"
        f"hint: Labels are matched by name. The labels of {fewer.path}: fruit, tool."
    )


def test_a_member_without_folds_cannot_be_stacked(members, dataset, folder, tmp_path):
    plain = train(dataset, model="linear", num_threads=1, out=folder / "no-folds")
    with pytest.raises(ArtifactError) as caught:
        ensemble(dataset, [members[1], plain], method="stacking", out=tmp_path / "new")
    assert str(caught.value) == (
        f"{plain.path} has no out-of-fold predictions.\nhint: Train it with folds: yanmo train … --folds 5"
    )


def test_a_member_of_other_rows_cannot_be_stacked(members, dataset, folder, make_words, tmp_path):
    other = make_words(folder / "other-rows", ["fruit", "tool", "city"], num_train=90)
    member = train(other, model="linear", folds=2, num_threads=1, out=folder / "other-member")
    with pytest.raises(DataError) as caught:
        ensemble(dataset, [members[1], member], method="stacking", out=tmp_path / "new")
    assert str(caught.value) == (
        f"{member.path / 'out_of_fold'} lacks 30 of the 120 rows of the train split of {dataset.path}, such as the id "
        "'train-90'.\nhint: Make them of the same rows: the same Dataset, the same split."
    )


def test_a_member_that_answers_nan_is_named(members, dataset, folder, tmp_path):
    shutil.copytree(members[1].path, tmp_path / "broken")
    tensors = load_file(tmp_path / "broken/model.safetensors")
    save_file({**tensors, "intercept": np.full(3, np.nan, np.float32)}, tmp_path / "broken/model.safetensors")
    (tmp_path / "broken/golden.json").write_text(
        json.dumps({"inputs": {"text": []}, "evidence": {"probabilities": []}})
    )
    broken = Bundle.open(tmp_path / "broken", verify=False)
    with pytest.raises(DataError) as caught:
        ensemble.function(dataset, (members[0], broken), ensemble.config_class(), out=tmp_path / "new")
    assert str(caught.value) == (
        f"{broken.path} gives row 1 the probability nan for 'fruit'.\n"
        "hint: A model that answers so is broken; train it again, or leave it out."
    )


def test_out_of_fold_answers_that_are_nan_are_named(members, dataset, folder, tmp_path):
    found = members[1].out_of_fold()
    frame = found.frame().with_columns(
        pl.Series("probabilities", np.full((120, 3), np.nan, np.float32), dtype=pl.Array(pl.Float32, 3))
    )
    shutil.copytree(members[1].path, tmp_path / "broken")
    frame.write_parquet(tmp_path / "broken/out_of_fold" / PREDICTIONS)
    broken = Bundle.open(tmp_path / "broken", verify=False)
    with pytest.raises(DataError, match=r"out_of_fold gives row 1 the probability nan for 'tool'\."):
        ensemble.function(dataset, (members[2], broken), ensemble.config_class(method="stacking"), out=tmp_path / "new")


def test_a_worse_ensemble_is_said(members, dataset, tmp_path, caplog, make_words, folder):
    nonsense = make_words(folder / "nonsense", ["fruit", "tool", "city"], is_noise=True)
    bad = train(nonsense, model="linear", num_threads=1, out=folder / "bad")
    caplog.set_level(logging.WARNING, "yanmo")
    ensemble(dataset, [members[1], bad, bad, bad], method="vote", out=tmp_path / "new")
    (message,) = [one for one in caplog.messages if one.startswith("On the valid split")]
    assert message.endswith("its member linear alone 100.00 %.")


def test_a_composite_is_refused_by_a_verb_for_single_models(members, dataset, folder, tmp_path, monkeypatch, capsys):
    whole = ensemble(dataset, members, out=tmp_path / "whole")
    monkeypatch.chdir(tmp_path)
    assert main(["export", "whole", "--out", "new"]) == 2
    assert capsys.readouterr().err == (
        "export takes the Bundle of one model. whole is of format ensemble.\n"
        "hint: Export its members, then make the ensemble of them.\n"
    )
    assert whole.name == "whole"


def test_the_command_line_takes_the_dataset_and_any_number_of_members(members, dataset, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert (
        main(["ensemble", "data", "cnn2", "linear", "cnn", "--method", "greedy", "--out", "by-command", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["num_members"] == 3


def test_out_of_fold_answers_are_whole_predictions(members, dataset):
    found = Predictions.open(members[2].path / "out_of_fold")
    assert found.ids == dataset.split("train")["id"].to_list()
    assert found.manifest.parents["dataset"] == dataset.digest
