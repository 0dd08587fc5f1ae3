"""train --folds and audit: rows answered by models that never saw them, resumed fold by fold; flipped labels found."""

import json
import logging
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.placing import work_dir
from yanmo.errors import ArtifactError, DataError
from yanmo.verbs.audit import audit
from yanmo.verbs.train import train

LABELS = ["fruit", "tool", "city"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def noisy(folder, make_words):
    """A Dataset with twelve flipped labels of 240, and their ids."""
    clean = make_words(folder / "clean", LABELS, num_train=240)
    rows = clean.split("train")
    flipped = np.random.default_rng(0).choice(240, 12, replace=False)
    labels = rows["label"].to_list()
    for row in flipped.tolist():
        labels[row] = LABELS[(LABELS.index(labels[row]) + 1) % 3]
    identity = {"kind": "dataset", "verb": "prepare", "task": clean.task, "labels": LABELS, "parents": {}, "config": {}}
    with publish(folder / "noisy", Identity(**identity, info=clean.manifest.info)) as staging:
        rows.with_columns(pl.Series("label", labels)).write_parquet(staging / "train.parquet")
        clean.split("valid").write_parquet(staging / "valid.parquet")
    return Dataset.open(folder / "noisy"), {f"train-{row}" for row in flipped.tolist()}


@pytest.fixture(scope="module")
def bundle(noisy, folder):
    return train(noisy[0], model="linear", folds=4, num_threads=1, out=folder / "linear")


@pytest.fixture(scope="module")
def report(bundle, noisy, folder):
    return audit(bundle, noisy[0], num_resamples=100, out=folder / "report")


def test_flipped_labels_are_listed_first_with_what_they_were(report, noisy):
    rows = report.metrics["rows"]
    top = rows[:12]
    assert len({row["id"] for row in top} & noisy[1]) >= 11
    for row in top:
        if row["id"] in noisy[1]:
            assert LABELS[(LABELS.index(row["suggested"]) + 1) % 3] == row["given"]
    margins = [row["margin"] for row in rows]
    assert margins == sorted(margins)
    assert report.metrics["num_wrong"] == pytest.approx(12, abs=6)
    assert len(rows) >= 12
    assert report.metrics["pairs"][0]["num_rows"] >= 1


def test_the_scores_are_honest(report):
    assert report.metrics["num_rows"] == 240
    assert 0.9 <= report.metrics["accuracy"] < 1
    assert [row["label"] for row in report.metrics["per_label"]] == LABELS
    assert report.summary()["report"] == "label_noise"
    html = report.html_path.read_text(encoding="utf-8")
    assert "Rows that are probably mislabelled" in html
    assert report.metrics["rows"][0]["id"] in html


def test_many_labels_a_row(folder, make_words):
    data = make_words(folder / "multi", LABELS, task="multi_label")
    found = train(data, model="linear", folds=2, num_threads=1, out=folder / "multi-linear")
    rows = audit(found, data, num_resamples=100, out=folder / "multi-report").metrics["rows"]
    assert isinstance(rows[0]["suggested"], list)


def test_a_bundle_without_folds_is_refused(noisy, folder, tmp_path):
    plain = train(noisy[0], model="linear", num_threads=1, out=folder / "plain")
    with pytest.raises(ArtifactError) as caught:
        audit(plain, noisy[0], out=tmp_path / "new")
    assert str(caught.value) == (
        f"{plain.path} has no out-of-fold predictions.\nhint: Train it with folds: yanmo train … --folds 5"
    )


def test_a_bundle_of_other_rows_is_refused(bundle, folder, make_words, tmp_path):
    other = make_words(folder / "other", LABELS, num_train=300)
    with pytest.raises(DataError) as caught:
        audit(bundle, other, out=tmp_path / "new")
    assert str(caught.value) == (
        f"{bundle.path / 'out_of_fold'} lacks 60 of the 300 rows of the train split of {other.path}, such as the id "
        "'train-240'.\nhint: Make them of the same rows: the same Dataset, the same split."
    )


def test_another_dataset_with_the_same_ids_is_said(bundle, noisy, folder, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "yanmo")
    audit(bundle, noisy[0], num_resamples=100, out=tmp_path / "own")
    assert caplog.messages == []
    audit(bundle, Dataset.open(folder / "clean"), num_resamples=100, out=tmp_path / "other")
    assert caplog.messages == [
        f"{bundle.path} was trained on another Dataset than {folder / 'clean'}; rows are matched by id. Where texts "
        "differ, its out-of-fold answers are not about these."
    ]


def test_each_answer_is_by_a_model_that_did_not_see_the_text(folder, make_words):
    noise = make_words(folder / "noise", LABELS, is_noise=True)
    rows = noise.split("train")
    info = {**noise.manifest.info}
    identity = {"kind": "dataset", "verb": "prepare", "task": noise.task, "labels": LABELS, "parents": {}, "config": {}}
    with publish(folder / "twice", Identity(**identity, info=info)) as staging:
        again = rows.with_columns(
            (pl.col("id") + "-again").alias("id"), pl.col("text").str.to_uppercase().alias("text")
        )
        doubled = rows.with_columns(pl.col("text").str.to_uppercase())
        pl.concat([doubled, again]).write_parquet(staging / "train.parquet")
        noise.split("valid").write_parquet(staging / "valid.parquet")
    twice = Dataset.open(folder / "twice")
    found = train(twice, model="linear", folds=3, num_threads=1, out=folder / "noise-linear").out_of_fold()
    answers = found.frame()["prediction"].to_list()
    right = np.mean([one == label for one, label in zip(answers, twice.split("train")["label"], strict=True)])
    assert right < 0.55, "a model that saw the same text in another row would know its label"


def test_the_final_model_is_that_of_all_rows(bundle, noisy, folder):
    plain = train(noisy[0], model="linear", num_threads=1, out=folder / "straight")
    assert bundle.manifest.files["model.safetensors"] == plain.manifest.files["model.safetensors"]


KILLED = {"model": "textcnn", "folds": 3, "num_epochs": 2, "batch_size": 8, "max_length": 16, "vocab_size": 60}


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_fold(folder, make_words, tmp_path):
    data = make_words(folder / "kill", LABELS, num_train=36, num_valid=12)
    script = (
        f"from yanmo.verbs.train import train; train({str(data.path)!r}, out='killed', num_threads=1, **{KILLED!r})"
    )
    whole = [sys.executable, "-c", script.replace("'killed'", "'straight'")]
    subprocess.run(whole, cwd=tmp_path, check=True, timeout=100)
    straight = train.output.open(tmp_path / "straight")
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    place = work_dir(tmp_path / "killed")
    deadline = time.monotonic() + 60
    while not list(place.glob("fold-1/*.npy")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    assert len(list(place.glob("fold-1/*.npy"))) == 1
    log = tmp_path / "log"
    with log.open("w") as errors:
        code = f"import logging; logging.basicConfig(level='INFO'); {script}"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stderr=errors, check=True, timeout=100)
    assert "fold 1/3" not in log.read_text()
    assert "fold 3/3" in log.read_text()
    resumed = train.output.open(tmp_path / "killed")
    assert resumed.digest == straight.digest
    assert json.loads((resumed.path / "out_of_fold/manifest.json").read_text())["config"]["folds"] == 3
