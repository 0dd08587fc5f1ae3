"""grind: a Bundle that meets the budget and can be made again, or which constraint to loosen; also after kill -9."""

import json
import logging
import signal
import subprocess
import sys
import time
import tomllib

import pytest

from yanmo.artifacts import Report
from yanmo.artifacts.base import work_dir
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ConfigError, ModelError
from yanmo.grinding.candidates import recipe as make_recipe
from yanmo.grinding.candidates import student_stages
from yanmo.grinding.grind import grind
from yanmo.models import ModelSpec
from yanmo.pipeline.run import RunConfig, run
from yanmo.verbs.pretrain import pretrain
from yanmo.verbs.train import train

LABELS = ["city", "fruit", "tool"]
EASY = {"max_latency_ms": 1000, "max_size_mb": 500, "max_drop": 0.5, "num_altered": 1, "num_threads": 1}


@pytest.fixture(scope="module")
def folder(make_words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grind")
    make_words(folder / "data", LABELS)
    train(folder / "data", model="linear", num_threads=1, out=folder / "teacher")
    return folder


@pytest.fixture(scope="module")
def ground(folder):
    return grind(folder / "teacher", folder / "data", students=["ngram"], **EASY, out=folder / "small")


def test_the_winner_meets_the_budget_and_holds_its_report(ground, folder):
    facts = ground.summary()
    assert facts["winner"] in ("ngram-student", "ngram-int8", "teacher-int8")
    report = Report.open(ground.path / "grinding").metrics
    assert report["winner"] == facts["winner"]
    assert {row["name"] for row in report["rows"]} == {"ngram-student", "ngram-int8", "teacher-int8"}
    assert all(not row["misses"] for row in report["rows"])
    assert report["test"]["accuracy"] == facts["test_accuracy"]
    assert [row["name"] for row in report["shapes"]] == ["ngram"]
    assert "meets the budget" in (ground.path / "grinding" / "report.html").read_text("utf-8")
    assert not work_dir(ground.path).exists()


def test_the_recipe_makes_the_same_model(ground, folder, tmp_path):
    recipe = (ground.path / "grinding" / "recipe.toml").read_text("utf-8")
    recipe = recipe.replace('"teacher"', json.dumps(str(folder / "teacher"))).replace(
        '"data"', json.dumps(str(folder / "data"))
    )
    (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
    run(tmp_path / "recipe.toml", RunConfig())
    again = Bundle.open(tmp_path / "runs" / ground.summary()["winner"])
    ours, theirs = (one.manifest.files["model.safetensors"].sha256 for one in (ground, again))
    assert ours == theirs


def test_a_student_may_begin_with_a_pretrained_encoder(folder):
    values = {"batch_size": 8, "num_threads": 1, "vocab_size": 60, "max_length": 16, "precision": "fp32"}
    reader = pretrain([folder / "data"], model="bert-2x64", num_epochs=1, **values, out=folder / "reader")
    found = grind(folder / "teacher", folder / "data", students=["ngram"], init=reader, **EASY, out=folder / "begun")
    report = Report.open(found.path / "grinding").metrics
    assert [row["name"] for row in report["shapes"]] == ["ngram", "bert-2x64"]
    assert report["failed"] == {}
    assert {"bert-2x64-student", "bert-2x64-int8", "bert-2x64-pruned-int8"} <= {row["name"] for row in report["rows"]}
    assert found.manifest.parents["init"] == reader.digest


def test_its_stages_name_the_encoder_and_no_model():
    student, *others = student_stages(ModelSpec("owner/bert", "init", source="reader", is_local=True), {"seed": 1})
    assert [student.name, *[one.name for one in others]] == [
        "bert-student",
        "bert-int8",
        "bert-pruned",
        "bert-pruned-int8",
    ]
    sources = {"teacher": "council", "dataset": "data", "init": "reader"}
    recipe = tomllib.loads(make_recipe([student], sources))["stage"]["bert-student"]
    assert recipe == {"verb": "distill", "teacher": "council", "dataset": "data", "init": "reader", "seed": 1}


def test_an_impossible_budget_trains_nothing_and_says_what_to_loosen(folder):
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"No student's shape can meet the budget.*ngram needs max_latency_ms"):
        grind(
            folder / "teacher",
            folder / "data",
            students=["ngram"],
            max_latency_ms=1e-6,
            num_threads=1,
            out=folder / "never",
        )
    assert time.monotonic() - start < 60
    report = Report.open(folder / "never-report").metrics
    assert (report["winner"], report["rows"]) == (None, [])
    assert report["skipped"][0].startswith("ngram: its shape needs max_latency_ms")
    assert not (folder / "never").exists()


@pytest.mark.slow
def test_a_budget_that_no_bundle_meets_names_the_nearest(folder):
    with pytest.raises(ModelError, match=r"None of 3 Bundles meets the budget. The nearest: .* needs max_memory_mb"):
        grind(
            folder / "teacher", folder / "data", students=["ngram"], **{**EASY, "max_memory_mb": 1}, out=folder / "none"
        )


@pytest.mark.slow
def test_a_killed_search_makes_nothing_twice(folder, caplog):
    script = (
        "from yanmo.grinding.grind import grind; "
        f"grind('teacher', 'data', students=['ngram', 'textcnn'], out='killed', **{EASY!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=folder, stderr=subprocess.DEVNULL)
    work = work_dir(folder / "killed")
    while not (work / "measured" / "ngram-student.json").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    seconds = json.loads((work / "measured" / "ngram-student.json").read_text("utf-8"))["seconds"]
    caplog.set_level(logging.INFO, logger="yanmo")
    grind(folder / "teacher", folder / "data", students=["ngram", "textcnn"], **EASY, out=folder / "killed")
    report = Report.open(folder / "killed" / "grinding").metrics
    assert {row["name"]: row["seconds"] for row in report["rows"]}["ngram-student"] == seconds
    assert not any("The teacher answers" in message for message in caplog.messages)
    assert {"textcnn-student", "textcnn-int8"} <= {row["name"] for row in report["rows"]}


def test_students_that_cannot_be_distilled_are_refused(folder):
    with pytest.raises(ConfigError, match="'students' parameter of grind cannot have linear"):
        grind(folder / "teacher", folder / "data", students=["linear"], out=folder / "refused")
