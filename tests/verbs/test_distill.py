"""distill: a student learns from any teacher's answers, which are asked once, and goes on after a real kill -9."""

import json
import logging
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from yanmo.artifacts import Predictions
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import work_dir
from yanmo.errors import ConfigError, DataError
from yanmo.measuring.evaluation import load_split
from yanmo.metrics import accuracy
from yanmo.modeling.arithmetic import determinism
from yanmo.pipeline.check import CheckConfig, check
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import get_task
from yanmo.verbs.distill import distill
from yanmo.verbs.ensemble import ensemble
from yanmo.verbs.predict import predict
from yanmo.verbs.train import train

LABELS = ["city", "fruit", "tool"]
FAST = {"num_epochs": 3, "batch_size": 16, "num_threads": 1}
SMALL = {**FAST, "max_length": 16, "vocab_size": 120}
IDENTITY = {"kind": "dataset", "verb": "prepare", "task": "single_label", "labels": LABELS, "parents": {}, "config": {}}


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("data") / "words", LABELS)


@pytest.fixture(scope="module")
def members(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    linear = train(dataset, model="linear", num_threads=1, out=folder / "linear")
    return [linear, train(dataset, model="ngram", **FAST, out=folder / "ngram")]


@pytest.fixture(scope="module")
def teacher(dataset, members, tmp_path_factory):
    return ensemble(dataset, members, out=tmp_path_factory.mktemp("teacher") / "council")


@pytest.fixture(scope="module")
def encoder(dataset, tmp_path_factory):
    return train(dataset, model="bert-2x32", **SMALL, out=tmp_path_factory.mktemp("encoder") / "bert")


def test_a_student_of_an_ensemble_learns_without_any_label(dataset, make_words, teacher, tmp_path):
    blind = make_words(tmp_path / "blind", LABELS, is_noise=True)
    student = distill(teacher, blind, model="ngram", alpha=1.0, **{**FAST, "num_epochs": 20}, out=tmp_path / "student")
    split = load_split(dataset, "test")
    task = get_task(dataset.task)
    answers_NC = open_bundle(student).predict_proba(split.items)
    assert accuracy(task.choose(answers_NC), split.targets) > 0.6


def test_a_student_may_begin_with_the_folder_of_a_checkpoint(dataset, teacher, encoder, tmp_path, caplog):
    shutil.copytree(encoder.path, tmp_path / "plain", ignore=shutil.ignore_patterns("manifest.json", "golden.json"))
    keys = {**FAST, "max_length": 16, "precision": "fp32"}
    with caplog.at_level(logging.INFO):
        student = distill(teacher, dataset, model=str(tmp_path / "plain"), **keys, out=tmp_path / "student")
    assert (student.model, student.format) == ("plain", "torch")
    assert "The head of plain is kept: its 3 labels are ours." in caplog.text
    assert student.manifest.parents["checkpoint"]
    split = load_split(dataset, "test")
    assert (
        np.abs(open_bundle(student).predict_proba(split.items) - open_bundle(encoder).predict_proba(split.items)).max()
        > 1e-4
    )


def test_the_bundle_says_where_it_comes_from(dataset, teacher, tmp_path):
    student = distill(teacher, dataset, model="ngram", **FAST, out=tmp_path / "student")
    assert student.format == "ngram"
    assert student.manifest.parents == {"teacher": teacher.digest, "dataset": dataset.digest}
    assert {"verb": "distill", "alpha": 0.9, "model": "ngram"}.items() <= student.manifest.config.items()
    assert student.summary()["num_texts"] == student.summary()["num_labeled"] == 120
    assert not work_dir(student.path).exists()


def test_predictions_stand_in_for_their_bundle(dataset, teacher, tmp_path):
    answers = predict(teacher, dataset.path, split="train", out=tmp_path / "answers")
    settings = {"model": "ngram", **FAST}
    first = distill(teacher, dataset, **settings, out=tmp_path / "first")
    second = distill(answers, dataset, **settings, out=tmp_path / "second")
    texts = dataset.split("test")["text"].to_list()
    assert np.array_equal(open_bundle(first).predict_proba(texts), open_bundle(second).predict_proba(texts))
    with pytest.raises(ConfigError, match="Predictions answer the texts they were made for only"):
        distill(answers, dataset, **settings, num_altered=1, out=tmp_path / "third")
    wrong = predict(teacher, dataset.path, split="valid", out=tmp_path / "wrong")
    with pytest.raises(DataError, match="lacks 120 of the 120 training rows .* such as the id 'train-0'"):
        distill(wrong, dataset, **settings, out=tmp_path / "fourth")


def test_transfer_texts_and_altered_copies_are_answered_once_and_kept(dataset, teacher, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="yanmo")
    file, table = tmp_path / "more.txt", tmp_path / "table.csv"
    file.write_text("the apple is so\n\nparis today\n", encoding="utf-8")
    pl.DataFrame({"words": ["hammer 很 saw", "paris today"]}).write_csv(table)
    settings = {"transfer": [file, table], "text": "words", "num_altered": 2, **FAST}
    student = distill(teacher, dataset, model="ngram", **settings, out=tmp_path / "student")
    assert student.summary()["num_texts"] == 3 * (120 + 3)
    assert student.manifest.parents["transfer:more.txt"]
    (kept,) = tmp_path.glob(".*.answers")
    assert Predictions.open(kept).manifest.parents["bundle"] == teacher.digest
    texts = pl.read_parquet(kept / "texts.parquet")
    assert texts["id"].n_unique() == len(texts) == 369
    assert texts["text"].slice(120, 3).to_list() == ["the apple is so", "paris today", "hammer 很 saw"]
    assert "The teacher answers 369 texts." in caplog.messages
    caplog.clear()
    distill(teacher, dataset, model="textcnn", **settings, max_length=16, keep_answers=False, out=tmp_path / "second")
    assert not any("The teacher answers" in message for message in caplog.messages)
    assert not kept.exists()


@pytest.mark.parametrize("task", ["multi_label", "text_pair"])
def test_every_task_has_students(make_words, task, tmp_path):
    dataset = make_words(tmp_path / "data", LABELS, task=task)
    teacher = train(dataset, model="linear", num_threads=1, out=tmp_path / "teacher")
    settings = {**FAST, "num_epochs": 12, "early_stopping_patience": 12}
    student = distill(teacher, dataset, model="ngram", temperature=2.0, num_altered=1, **settings, out=tmp_path / "one")
    assert student.summary()["num_texts"] == 240
    assert student.summary()["valid_accuracy"] > 0.5


@pytest.mark.parametrize("match", ["hidden", "attention", "hidden+attention", "relations"])
def test_an_encoder_learns_from_its_teachers_inside(dataset, encoder, match, tmp_path):
    student = distill(encoder, dataset, model="bert-1x32", match=match, **SMALL, out=tmp_path / "student")
    assert student.architecture["family"] == "encoder"
    assert json.loads((student.path / "config.json").read_text("utf-8"))["num_hidden_layers"] == 1
    ours, theirs = (json.loads((one.path / "tokenizer.json").read_text("utf-8")) for one in (student, encoder))
    assert ours["model"]["vocab"] == theirs["model"]["vocab"]
    assert open_bundle(student).predict_proba(["the apple"]).shape == (1, 3)


def test_what_cannot_be_distilled_is_refused(dataset, teacher, encoder, tmp_path):
    with pytest.raises(ConfigError, match="The model linear learns from labels only"):
        distill(teacher, dataset, model="linear", out=tmp_path / "student")
    with pytest.raises(ConfigError, match="needs a student and a teacher that are torch encoders, not bert-1x32"):
        distill(teacher, dataset, model="bert-1x32", match="hidden", out=tmp_path / "student")
    with pytest.raises(ConfigError, match="'num_altered' must be at least 2. Got 1 instead"):
        distill(teacher, dataset, model="ngram", masked_lm=encoder.path, num_altered=1, out=tmp_path / "student")
    with pytest.raises(ConfigError, match="'alpha' parameter of distill must be less than or equal to 1"):
        distill(teacher, dataset, model="ngram", alpha=2, out=tmp_path / "student")


@pytest.mark.parametrize(
    ("model", "match", "message"),
    [
        ("bert-1x128", "attention", "the student has 2, the teacher 1"),
        ("bert-3x32", "attention", "no deeper: it has 3 layers, the teacher 2"),
        ("albert-1x32", "hidden", "does not suit AlbertForSequenceClassification"),
    ],
)
def test_a_student_that_does_not_fit_is_refused_before_the_teacher_is_asked(
    dataset, encoder, model, match, message, tmp_path
):
    with pytest.raises(ConfigError, match=message):
        distill(encoder, dataset, model=model, match=match, **SMALL, out=tmp_path / "student")
    assert not list(tmp_path.glob(".*.answers*"))


def test_predictions_of_the_training_split_leave_unlabelled_texts_out(dataset, teacher, tmp_path):
    answers = predict(teacher, dataset.path, split="train", out=tmp_path / "answers")
    with publish(tmp_path / "data", Identity(**IDENTITY, info=dataset.manifest.info)) as staging:
        for name in ("train", "valid"):
            dataset.split(name).write_parquet(staging / f"{name}.parquet")
        dataset.split("test").select("id", "text").write_parquet(staging / "unlabeled.parquet")
    student = distill(answers, tmp_path / "data", model="ngram", **FAST, out=tmp_path / "student")
    assert student.summary()["num_texts"] == 120


KILLED = {"model": "ngram", "num_altered": 3, "num_epochs": 5, "batch_size": 16, "num_threads": 1}


@pytest.mark.slow
def test_a_killed_run_asks_nothing_twice_and_makes_the_same_student(dataset, teacher, tmp_path, caplog):
    script = (
        f"from yanmo.verbs.distill import distill; "
        f"distill({str(teacher.path)!r}, {str(dataset.path)!r}, out='killed', **{KILLED!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stderr=subprocess.DEVNULL)
    work = work_dir(tmp_path / "killed")
    while not list(work.glob("checkpoint-*.safetensors")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    caplog.set_level(logging.INFO, logger="yanmo")
    resumed = distill(teacher, dataset, **KILLED, out=tmp_path / "killed")
    assert any(message.startswith("Resuming at step") for message in caplog.messages)
    assert not any("The teacher answers" in message for message in caplog.messages)
    whole = distill(teacher, dataset, **KILLED, out=tmp_path / "whole")
    assert (resumed.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_another_kind_of_device_and_several_workers_are_refused(dataset, teacher, tmp_path, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill(teacher, dataset, **KILLED, out=tmp_path / "student", effects=Effects(watchers=(killed,)))
    with monkeypatch.context() as patch, pytest.raises(ConfigError, match="kind of device: cpu → cuda"):
        patch.setattr(determinism, "default_device", lambda: "cuda")
        distill(teacher, dataset, **KILLED, out=tmp_path / "student")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="Several workers cannot distill together"):
        distill(teacher, dataset, **KILLED, out=tmp_path / "student")


def test_a_pipeline_may_have_both_kinds_of_teacher(dataset, teacher, tmp_path):
    stages = {
        "answers": f'verb = "predict"\nbundle = "{teacher.path}"\nsource = "{dataset.path}"\nsplit = "train"',
        "one": f'verb = "distill"\nteacher = "answers"\ndataset = "{dataset.path}"',
        "two": f'verb = "distill"\nteacher = "{teacher.path}"\ndataset = "{dataset.path}"\nmodel = "textcnn"',
    }
    file = tmp_path / "pipeline.toml"
    file.write_text("\n".join(f"[stage.{name}]\n{text}\n" for name, text in stages.items()), encoding="utf-8")
    assert len(check(file, CheckConfig()).steps) == 3
