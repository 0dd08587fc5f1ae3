"""grind: a Bundle that meets the budget and can be made again, or which constraint to loosen; also after kill -9."""

import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib

import pytest

from yanmo import family_settings, models
from yanmo.artifacts import Dataset, Report
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import work_dir
from yanmo.errors import ArtifactError, ConfigError, ModelError
from yanmo.grinding.grind import grind
from yanmo.grinding.shapes import REPORT_MB, few_rows, measure_shape
from yanmo.grinding.speeds import Meter
from yanmo.modeling.arithmetic import determinism
from yanmo.pipeline.run import RunConfig, run
from yanmo.verbs.pretrain import pretrain

EASY = {"max_latency_ms": 1000, "max_size_mb": 500, "max_drop": 0.5, "num_threads": 1}


def report_of(place):
    return Report.open(place).metrics


@pytest.fixture(scope="module")
def folder(grounds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grind")
    (folder / "more.txt").write_text("apple today\nhammer 今天\nrome so\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def asked():
    """The splits that were asked for while ``ground`` was made, in order."""
    return []


@pytest.fixture(scope="module")
def ground(folder, grounds, asked):
    """A student: the teacher is in 8 bits already."""
    split, inputs = Dataset.split, {"transfer": [folder / "more.txt"]}

    def spy(self, name):
        asked.append(name)
        return split(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dataset, "split", spy)
        return grind(grounds.small, grounds.data, students=["ngram"], **inputs, **EASY, out=folder / "ground")


def test_the_winner_meets_the_budget_and_holds_its_report(ground, folder):
    facts, report = ground.summary(), report_of(ground.path / "grinding")
    assert facts["winner"] in ("ngram-student-calibrated", "ngram-int8-calibrated")
    assert report["winner"] == facts["winner"]
    assert [row["name"] for row in report["rows"]] == ["ngram-student", "ngram-int8", facts["winner"]]
    assert all(not row["misses"] for row in report["rows"])
    assert report["test"]["accuracy"] == facts["test_accuracy"]
    assert [row["name"] for row in report["shapes"]] == ["ngram"]
    assert report["shapes"][0]["train_seconds_per_text"] > 0
    assert report["skipped"] == ["teacher: it is in 8 bits already"]
    assert "meets the budget" in (ground.path / "grinding" / "report.html").read_text("utf-8")
    assert re.search(r"--transfer \S*/more\.txt ", report["command"])
    assert not work_dir(ground.path).exists()


def test_what_is_published_is_calibrated(ground):
    facts = ground.summary()
    assert ground.calibration["method"] == "temperature"
    assert facts["calibration_error_before"] >= facts["calibration_error_after"]


def test_the_accuracy_of_untrained_models_is_not_said(grounds, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="yanmo")
    few = few_rows(Dataset.open(grounds.data), tmp_path / "few")
    measure_shape(models.resolve("ngram"), few, tmp_path, Meter(1), effects=Effects())
    assert "accuracy" not in caplog.text


def test_its_size_was_measured_with_its_report(ground):
    (row,) = [one for one in report_of(ground.path / "grinding")["rows"] if one["name"] == ground.summary()["winner"]]
    assert row["size_mb"] - REPORT_MB < ground.size_bytes / 1e6 <= row["size_mb"]


def test_the_recipe_makes_the_same_files_where_it_stands(ground, folder, caplog):
    run(ground.path / "grinding" / "recipe.toml", RunConfig())
    assert "no effect" not in caplog.text
    again = Bundle.open(folder / "ground-again" / ground.summary()["winner"])
    ours, theirs = (
        {name: entry.sha256 for name, entry in one.manifest.files.items() if not name.startswith("grinding")}
        for one in (ground, again)
    )
    assert ours == theirs
    Bundle.open(ground.path)


def test_what_is_there_is_put_into_8_bits_and_together_before_anything_is_trained(folder, grounds, caplog):
    budget = {**EASY, "max_drop": 0.3}
    found = grind(grounds.council, grounds.data, students=["ngram"], **budget, out=folder / "members")
    assert "no effect" not in caplog.text
    report = report_of(found.path / "grinding")
    rows = {row["name"]: row for row in report["rows"]}
    together = list(rows)[2]
    assert list(rows)[:2] == ["member-1-linear-int8", "member-2-ngram-int8"]
    assert together.startswith("ensemble-member-")
    assert list(rows)[3:5] == ["ngram-student", "ngram-int8"]
    assert [row["name"] for row in report["present"]] == ["teacher", "member-1-linear", "member-2-ngram"]
    assert {"larger"}.isdisjoint(rows["member-2-ngram-int8"]["worse"])


@pytest.mark.usefixtures("ground")
def test_the_test_split_is_unread_until_the_end(asked):
    assert set(asked[asked.index("test") :]) == {"test"}


@pytest.mark.slow
def test_a_student_may_begin_with_a_pretrained_encoder(folder, grounds):
    values = {"batch_size": 8, "num_threads": 1, "vocab_size": 60, "max_length": 16, "precision": "fp32"}
    reader = pretrain([grounds.data], model="bert-2x64", num_epochs=1, **values, out=folder / "reader")
    found = grind(grounds.teacher, grounds.data, students=["ngram"], init=reader, **EASY, out=folder / "begun")
    report = report_of(found.path / "grinding")
    assert [row["name"] for row in report["shapes"]] == ["ngram", "bert-2x64"]
    assert report["failed"] == {}
    assert {"bert-2x64-student", "bert-2x64-int8", "bert-2x64-pruned-int8"} <= {row["name"] for row in report["rows"]}
    assert found.manifest.parents["init"] == reader.digest


@pytest.mark.slow
def test_a_student_may_begin_with_the_folder_of_a_checkpoint(folder, grounds):
    shutil.copytree(grounds.encoder, folder / "plain", ignore=shutil.ignore_patterns("manifest.json", "golden.json"))
    found = grind(grounds.small, grounds.data, students=[str(folder / "plain")], **EASY, out=folder / "from-a-folder")
    report = report_of(found.path / "grinding")
    (name,) = (row["name"] for row in report["shapes"])
    assert name.startswith("plain-")
    assert {f"{name}-student", f"{name}-int8", f"{name}-pruned-int8"} <= {row["name"] for row in report["rows"]}
    assert report["failed"] == {}
    recipe = tomllib.loads((found.path / "grinding" / "recipe.toml").read_text("utf-8"))
    (model,) = {one["model"] for one in recipe["stage"].values() if "model" in one}
    assert (found.path / "grinding" / model).resolve() == (folder / "plain").resolve()


def test_an_impossible_budget_trains_nothing_and_says_what_to_loosen(folder, grounds, monkeypatch):
    asked, split = [], Dataset.split
    monkeypatch.setattr(Dataset, "split", lambda self, name: (asked.append(name), split(self, name))[1])
    with pytest.raises(ModelError, match=r"No student's shape can meet the budget.*ngram needs max_latency_ms"):
        grind(grounds.council, grounds.data, students=["ngram"], max_latency_ms=1e-6, out=folder / "never")
    assert "test" not in asked
    report = report_of(folder / "never-report")
    assert (report["winner"], report["rows"]) == (None, [])
    assert [line.partition(":")[0] for line in report["skipped"]] == ["member-1-linear", "member-2-ngram", "ngram"]
    assert "train_seconds_per_text" not in report["shapes"][0]
    assert not (folder / "never").exists()


def test_where_only_the_teacher_itself_meets_the_budget_it_says_so(folder, grounds, ground):
    (shape,) = report_of(ground.path / "grinding")["shapes"]
    budget = {**EASY, "max_size_mb": shape["size_mb"] - REPORT_MB / 2}
    said = r"No student's shape can meet the budget. The teacher itself meets the budget: .* ngram needs max_size_mb"
    with pytest.raises(ModelError, match=said):
        grind(grounds.small, grounds.data, students=["ngram"], **budget, out=folder / "itself")
    assert report_of(folder / "itself-report")["skipped"][1].startswith("ngram: its shape needs max_size_mb")
    assert "The teacher itself meets the budget." in (folder / "itself-report" / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_an_impossible_budget_is_known_in_two_minutes(folder, grounds):
    start = time.monotonic()
    with pytest.raises(ModelError, match="No student's shape can meet the budget"):
        grind(grounds.council, grounds.data, max_latency_ms=0.001, out=folder / "at-once")
    assert time.monotonic() - start < 120
    assert len(report_of(folder / "at-once-report")["shapes"]) == 4


def test_without_time_it_says_so_and_more_hours_go_on(folder, grounds, monkeypatch):
    asked = {"students": ["ngram"], **EASY, "out": folder / "hurried"}
    with pytest.raises(ModelError, match=r"There was no time to make a Bundle. ngram-student: it would take about"):
        grind(grounds.small, grounds.data, **asked, hours=1e-6)
    shapes = work_dir(folder / "hurried") / "shapes"
    before = (shapes / "ngram.json").read_bytes()
    with monkeypatch.context() as patch, pytest.raises(ConfigError, match="kind of device: cpu → cuda"):
        patch.setattr(determinism, "default_device", lambda: "cuda")
        grind(grounds.small, grounds.data, **asked)
    with pytest.raises(ModelError, match="There was no time"):
        grind(grounds.small, grounds.data, **asked, hours=2e-6)
    assert (shapes / "ngram.json").read_bytes() == before
    found = grind(grounds.small, grounds.data, **asked, hours=1)
    assert found.summary()["winner"].startswith("ngram")


@pytest.mark.slow
def test_a_looser_budget_goes_on_with_what_is_there(folder, grounds):
    asked = {"students": ["ngram"], "out": folder / "loosened"}
    with pytest.raises(ModelError, match=r"None of 3 Bundles meets the budget. The nearest: .* needs max_memory_mb"):
        grind(grounds.teacher, grounds.data, **asked, **{**EASY, "max_memory_mb": 1})
    measured = work_dir(folder / "loosened") / "measured" / "ngram-student.json"
    seconds = json.loads(measured.read_text("utf-8"))["seconds"]
    found = grind(grounds.teacher, grounds.data, **asked, **EASY)
    assert {row["name"]: row["seconds"] for row in report_of(found.path / "grinding")["rows"]}[
        "ngram-student"
    ] == seconds
    with pytest.raises(ModelError):
        grind(grounds.teacher, grounds.data, students=["ngram"], max_latency_ms=1e-6, out=folder / "seeded")
    with pytest.raises(ConfigError, match=r"(?s)begun with something else.*seed: 1 → 2"):
        grind(grounds.teacher, grounds.data, students=["ngram"], **EASY, seed=2, out=folder / "seeded")


def test_what_stands_where_the_report_would_appear_is_never_removed(folder, grounds):
    place = folder / "kept-report"
    asked = {"students": ["ngram"], "max_latency_ms": 1e-6, "num_threads": 1, "out": folder / "kept"}
    place.mkdir()
    (place / "mine.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(ArtifactError, match="kept-report exists already, and is no Report of grind"):
        grind(grounds.teacher, grounds.data, **asked)
    assert [one.name for one in place.iterdir()] == ["mine.txt"]
    shutil.rmtree(place)
    for latency in (1e-6, 1e-5):
        with pytest.raises(ModelError, match="No student's shape"):
            grind(grounds.teacher, grounds.data, **{**asked, "max_latency_ms": latency})
        assert report_of(place)["budget"]["max_latency_ms"] == latency


@pytest.mark.slow
def test_a_killed_search_makes_nothing_twice(folder, grounds, caplog):
    asked = {"students": ["ngram", "textcnn"], "out": str(folder / "killed"), **EASY}
    script = (
        f"from yanmo.grinding.grind import grind; grind({str(grounds.teacher)!r}, {str(grounds.data)!r}, **{asked!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    work = work_dir(folder / "killed")
    while not (work / "measured" / "ngram-student.json").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    row, spent = (
        json.loads((work / name).read_text("utf-8")) for name in ("measured/ngram-student.json", "clock.json")
    )
    assert spent["seconds"] > row["seconds"]
    caplog.set_level(logging.INFO, logger="yanmo")
    grind(grounds.teacher, grounds.data, **asked)
    report = report_of(folder / "killed" / "grinding")
    assert {one["name"]: one["seconds"] for one in report["rows"]}["ngram-student"] == row["seconds"]
    assert not any("The teacher answers" in message for message in caplog.messages)
    assert {"textcnn-student", "textcnn-int8"} <= {one["name"] for one in report["rows"]}
    assert report["seconds"] > spent["seconds"]


@pytest.mark.slow
def test_a_search_killed_within_a_training_goes_on_with_its_checkpoint_to_the_same_bundle(folder, grounds, monkeypatch):
    monkeypatch.setattr(family_settings, "MIN_STEPS", 200)
    asked = {"students": ["textcnn"], **EASY, "max_size_mb": 1.5}
    script = (
        "from yanmo import family_settings; from yanmo.modeling.loop import training_loop; "
        "from yanmo.grinding.grind import grind; "
        "family_settings.MIN_STEPS, training_loop.SAVE_SECONDS = 200, 0.0; "
        f"grind({str(grounds.small)!r}, {str(grounds.data)!r}, out={str(folder / 'cut')!r}, **{asked!r})"
    )
    student = work_dir(work_dir(folder / "cut") / "bundles" / "textcnn-student")

    def steps():
        return [int(one.stem.rpartition("-")[2]) for one in student.glob("checkpoint-*")]

    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    while max(steps(), default=0) < 50 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    shapes = work_dir(folder / "cut") / "shapes" / "textcnn.json"
    timed, begun = shapes.read_bytes(), steps()
    records, measured = [], []
    watching = Effects(watchers=(lambda record: (records.append(record), measured.append(shapes.read_bytes())),))
    resumed = grind(grounds.small, grounds.data, **asked, out=folder / "cut", effects=watching)
    assert records[0]["step"] > min(begun)
    assert [one["step"] for one in records] == sorted(one["step"] for one in records), "one training only"
    assert set(measured) == {timed}
    straight = grind(grounds.small, grounds.data, **asked, out=folder / "uncut")
    assert resumed.summary()["winner"] == straight.summary()["winner"] == "textcnn-int8-calibrated"
    ours, theirs = (
        {name: entry for name, entry in one.manifest.files.items() if not name.startswith("grinding")}
        for one in (resumed, straight)
    )
    assert ours == theirs


def test_several_workers_are_refused(folder, grounds, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="Several workers cannot grind together"):
        grind(grounds.teacher, grounds.data, students=["ngram"], out=folder / "workers")


def test_more_than_all_of_the_accuracy_cannot_be_lost(folder, grounds):
    with pytest.raises(ConfigError, match=r"The 'max_drop' parameter of grind must be in \[0, 1\] where the headline"):
        grind(grounds.teacher, grounds.data, max_drop=1.5, out=folder / "percents")


def test_students_that_cannot_be_distilled_are_refused(folder, grounds):
    with pytest.raises(ConfigError, match="'students' parameter of grind cannot have linear"):
        grind(grounds.teacher, grounds.data, students=["linear"], out=folder / "refused")
