"""Candidates that several processes make at once: the same as those of one, and what cannot be made ends nothing."""

import pytest
from msgspec import structs

from yanmo.artifacts import Report
from yanmo.errors import ConfigError, DataError
from yanmo.executors.here import InThisProcess
from yanmo.executors.local import LocalProcesses
from yanmo.grinding import speeds
from yanmo.grinding.candidates import TEACHER, int8_of, pruned, single_models, student
from yanmo.grinding.grind import grind
from yanmo.grinding.order import run_search
from yanmo.grinding.records import LateError, TimeLimit
from yanmo.grinding.search import attempt
from yanmo.grinding.side_by_side import make_ahead
from yanmo.grinding.speeds import Meter
from yanmo.models import resolve
from yanmo.verbs.calls import run_call

EASY = {"max_latency_ms": 1000, "max_size_mb": 500, "max_drop": 0.5, "num_threads": 1}


def names(search):
    return [row["name"] for row in search.rows]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(speeds, "NUM_ROUNDS", 1)
    monkeypatch.setattr(speeds, "ROUND_SECONDS", 0.02)


def test_two_processes_make_what_one_makes(make_search, caplog):
    caplog.set_level("INFO", logger="yanmo")
    bench = (search := make_search(teacher="council")).bench
    stages = [int8_of(name) for name in single_models(bench.teacher)]
    executor = LocalProcesses(2, 1)
    try:
        make_ahead(search, stages, executor)
    finally:
        executor.close()
    for stage in stages:
        again = run_call(structs.replace(bench.call(stage), out=str(bench.folder / "again" / stage.name)))
        assert again.manifest.files == bench.bundle(stage.name).manifest.files
    assert "worker 1: " in caplog.text
    attempt(search, stages[0])
    assert search.rows[0]["seconds"] > 0


@pytest.mark.slow
def test_a_whole_search_with_two_processes_ends_with_its_report(grounds, tmp_path, caplog):
    caplog.set_level("INFO", logger="yanmo")
    students = ["ngram", "textcnn"]
    found = grind(grounds.small, grounds.data, students=students, executor="local:2", out=tmp_path / "out", **EASY)
    rows = {row["name"]: row for row in Report.open(found.path / "grinding").metrics["rows"]}
    assert {"ngram-student", "textcnn-student", "textcnn-int8"} <= set(rows)
    assert "Speed is measured on this machine, when nobody makes a candidate." in caplog.text


def test_what_was_made_ahead_is_only_measured(make_search, monkeypatch):
    search = make_search()
    run_search(search, InThisProcess())
    assert names(search)[:2] == ["teacher-int8", "ngram-student"]
    again = make_search()

    def refuse(_):
        raise AssertionError

    monkeypatch.setattr("yanmo.grinding.trials.run_call", refuse)
    monkeypatch.setattr("yanmo.grinding.side_by_side.run_call", refuse)
    run_search(again, InThisProcess())
    assert names(again) == names(search)


def test_what_can_never_be_made_is_told_once_and_what_takes_it_is_left_out(make_search, monkeypatch):
    search, calls = make_search(), []

    def fail(call):
        calls.append(call.verb)
        raise DataError("no rows")

    monkeypatch.setattr("yanmo.grinding.side_by_side.run_call", fail)
    stages = [int8_of(TEACHER), pruned(int8_of(TEACHER).name, precision="fp32")]
    make_ahead(search, stages, InThisProcess())
    for stage in stages:
        attempt(search, stage)
    assert calls == ["quantize"]
    assert [(row["name"], row["failed"]) for row in search.rows] == [("teacher-int8", "no rows")]


def test_nothing_is_begun_for_which_there_is_no_time(make_search):
    search = make_search(seconds=1e-9)
    search.present.append({"throughput": 1.0})
    search.shapes.append({"name": "ngram", "train_seconds_per_text": 1.0})
    stage = student(resolve("ngram"), search.values, has_transfer=False)
    making = []

    class Nobody(InThisProcess):
        def run(self, _job, units):
            making.extend(units)
            return iter(())

    make_ahead(search, [stage], Nobody())
    assert making == []
    assert not search.bench.is_begun(stage.name)


def test_a_training_ends_when_its_time_is_over():
    TimeLimit(100).watch({})
    with pytest.raises(LateError):
        TimeLimit(-1).watch({})


def test_a_machine_of_its_own_measures(make_search):
    bench = make_search().bench
    found = Meter(1, InThisProcess()).measure(bench.teacher, bench.dataset)
    assert set(found) == {"latency_ms", "throughput"}
    assert min(found.values()) > 0


def test_a_resource_without_a_cluster_is_refused(grounds, tmp_path):
    with pytest.raises(ConfigError, match="The 'measure_on' parameter of grind names a resource of a cluster"):
        grind(grounds.small, grounds.data, measure_on="edge", executor="local:2", out=tmp_path / "out", **EASY)
