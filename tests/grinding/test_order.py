"""What is tried, in which order, and what there is no time for."""

from dataclasses import replace

import polars as pl
import pytest

from yanmo.compressing.transfer_texts import Transfer
from yanmo.grinding import order, publishing
from yanmo.grinding.budget import Budget
from yanmo.grinding.candidates import cascade_of, chain, int8_of, student
from yanmo.grinding.records import Clock, LateError, write_json
from yanmo.grinding.search import attempt, num_passes
from yanmo.metrics.measures import Measure
from yanmo.models import resolve

MANY = Transfer(pl.DataFrame({"id": [""] * 60_000, "text": [""] * 60_000}))


def row(name, accuracy, *, latency_ms=0.1, throughput=50_000.0, size_mb=3.0, verb="quantize"):
    student = "" if name.startswith("member-") else name.partition("-longer")[0].partition("-int8")[0]
    measured = {
        "student": student,
        "accuracy": accuracy,
        "drop": 0.97 - accuracy,
        "latency_ms": latency_ms,
        "throughput": throughput,
        "size_mb": size_mb,
    }
    return {"name": name, "verb": verb, **measured}


def shape(name, *, latency_ms, throughput, size_mb=2.0):
    return {"name": name, "latency_ms": latency_ms, "throughput": throughput, "size_mb": size_mb}


def names(stages):
    return [one.name for one in stages]


def test_models_that_are_there_come_in_8_bits_unless_that_cannot_help(make_search):
    search = make_search(teacher="council", max_latency_ms=1.0, max_size_mb=10)
    near, far = ("latency_ms", 3.9), ("latency_ms", 4.1)
    for name, (key, value) in (("member-1-linear", near), ("member-2-ngram", far)):
        search.present.append({"name": name, "throughput": 1000.0, "size_mb": 1.0, key: value})
    assert names(order._models_in_int8(search)) == ["member-1-linear-int8"]
    assert search.skipped == ["member-2-ngram: as it is it needs max_latency_ms 4.1, too much for 8 bits to change"]


def test_members_are_put_together_where_the_budget_holds_both(make_search):
    search = make_search(max_latency_ms=1.0, max_size_mb=10)
    search.rows = [
        row("member-1-ngram-int8", 0.90, latency_ms=0.2),
        row("member-2-bilstm-int8", 0.93, latency_ms=0.9),
        row("member-3-textcnn-int8", 0.92, latency_ms=0.3),
        row("member-4-linear-int8", 0.95, size_mb=8.0),
    ]
    search.bench.mean_gain = len
    assert names(order._ensembles(search)) == ["ensemble-member-3-textcnn-member-1-ngram"]
    # One after the other they are half as fast as each.
    search.budget = Budget(min_throughput=30_000.0)
    assert names(order._ensembles(search)) == []
    assert names(order._ensembles(make_search())) == []


def test_a_member_that_is_in_8_bits_already_is_put_together_as_it_is(make_search):
    search = make_search(teacher="mixed", max_latency_ms=50.0, max_size_mb=10, max_drop=0.5)
    for name, size_mb in (("teacher", 50.0), ("member-1-linear", 1.0), ("member-2-ngram", 1.0)):
        search.present.append({"name": name, "throughput": 1000.0, "size_mb": size_mb, "latency_ms": 0.1})
    for stage in order._models_in_int8(search):
        attempt(search, stage)
    assert search.skipped == ["member-1-linear: it is in 8 bits already"]
    (stage,) = order._ensembles(search)
    mean = search.bench.mean_gain(stage.call.inputs["members"])
    assert set(stage.sources) - {"dataset"} == {"member-1-linear", "member-2-ngram-int8"}
    attempt(search, stage)
    assert search.row(stage.name)["accuracy"] == mean > 0
    assert {"accuracy", "drop"} <= set(search.row("member-1-linear"))
    assert order.finished(search.rows) == search.rows
    assert len(search.rows) == 2
    again = make_search(teacher="mixed").bench.try_given("member-1-linear")
    assert again["latency_ms"] == search.row("member-1-linear")["latency_ms"]
    assert [stage.name for stage in chain(search.stages, stage.name)] == ["member-2-ngram-int8", stage.name]
    assert "larger" in publishing._worse(search, stage, search.row(stage.name))
    before = search.row(stage.sources[1])["latency_ms"]
    slower = [
        publishing._worse(search, stage, {**search.row(stage.name), "latency_ms": times * before}) for times in (1, 1.5)
    ]
    assert ["slower" in one for one in slower] == [False, True]


def test_of_one_student_only_one_training_is_put_together_with_others(make_search):
    search = make_search(max_size_mb=10)
    search.rows = [
        row("bert-2x128-int8", 0.93),
        row("bert-2x128-longer-int8", 0.94),
        row("ngram-int8", 0.9),
        row("textcnn-int8", 0.92),
        row("bert-2x128-student", 0.95, verb="distill"),
    ]
    together = {"bert-2x128-longer-int8", "ngram-int8"}
    search.bench.mean_gain = lambda names: 0.97 if together == set(names) else 0.01 * len(names)
    assert names(order._ensembles(search)) == [
        "ensemble-bert-2x128-longer-ngram",
        "ensemble-bert-2x128-longer-textcnn-ngram",
        "ensemble-bert-2x128-textcnn-ngram",
    ]


def test_a_cheaper_half_is_put_together_where_the_whole_does_not_fit(make_search):
    search = make_search(max_latency_ms=1.0)
    half = row("bert-4x312-pruned-int8", 0.935, latency_ms=0.8) | {"student": "bert-4x312"}
    search.rows = [row("ngram-int8", 0.9), row("bert-4x312-int8", 0.94, latency_ms=0.98), half]
    search.bench.mean_gain = len
    assert names(order._ensembles(search)) == ["ensemble-bert-4x312-pruned-ngram"]


def test_where_a_mean_costs_more_than_its_members_the_next_ones_are_made(make_search):
    search = make_search(max_latency_ms=1.0)
    search.rows = [row(f"{number}-int8", 0.9, latency_ms=0.24) for number in range(5)]
    search.bench.mean_gain = len
    made = []
    for stage in order._ensembles(search):
        made.append(len(stage.call.inputs["members"]))
        search.rows.append(row(stage.name, 0.95, latency_ms=0.3 * made[-1], verb="ensemble"))
    assert made == [4, 4, 4, 4, 4, 3, 3, 3]


def test_a_shape_is_trained_for_itself_for_its_half_or_for_the_end_of_a_cascade(make_search):
    search = make_search(students=("ngram", "bert-2x128", "bert-4x312", "textcnn"), max_latency_ms=1.0, max_size_mb=10)
    quick = shape("ngram", latency_ms=0.1, throughput=300_000)
    search.shapes = [quick]
    assert order._use_of(search, quick) == 0
    assert order._use_of(search, shape("bert-2x128", latency_ms=1.4, throughput=9000)) == 0
    assert order._use_of(search, shape("bert-4x312", latency_ms=2.4, throughput=3000)) == 1
    assert order._use_of(search, shape("bert-4x312", latency_ms=9.0, throughput=3000)) == 2
    assert order._use_of(search, shape("textcnn", latency_ms=2.4, throughput=3000)) == 2
    assert order._use_of(search, shape("bert-4x312", latency_ms=9.0, throughput=3000, size_mb=8.5)) is None
    assert order._use_of(search, shape("bert-4x312", latency_ms=9.0, throughput=3000, size_mb=8.2)) == 2
    search.shapes = []
    assert order._use_of(search, shape("bert-4x312", latency_ms=9.0, throughput=3000)) is None


def test_cascades_end_with_what_is_too_slow_alone_and_fit_the_budget_together(make_search):
    search = make_search(max_latency_ms=1.0, max_size_mb=10, max_drop=0.01)
    search.rows = [
        row("ngram-int8", 0.90, throughput=300_000),
        row("textcnn-int8", 0.92, throughput=40_000),
        # Nearly as good as the last stage, and no twice as fast.
        row("bilstm-int8", 0.935, throughput=4500.0),
        row("bert-4x312-int8", 0.94, latency_ms=3.0, throughput=3000.0, size_mb=6.0),
        row("bert-4x312-student", 0.95, latency_ms=9.0, throughput=900.0, verb="distill"),
        row("ensemble-1-2", 0.96, latency_ms=5.0, throughput=2000.0, size_mb=9.0, verb="ensemble"),
        {"name": "broken", "verb": "quantize", "failed": "no"},
    ]
    found = list(order._cascades(search))
    assert names(found) == ["cascade-textcnn-bert-4x312-50", "cascade-textcnn-bert-4x312-200"]
    assert found[0].call.config == {"guarantee": "accuracy", "alpha": 0.005, "costs": [0.025, 0.3333]}


def test_where_the_headline_is_no_share_of_rows_its_unit_is_no_alpha(make_search, monkeypatch):
    search = make_search(max_latency_ms=1.0, max_drop=3.0)
    stars = Measure("mean_error", lambda sums: sums[..., 0], "mean error", higher_is_better=False, is_rate=False)
    monkeypatch.setattr(search.bench, "task", replace(search.bench.task, measures=(stars, *search.bench.task.measures)))
    search.rows = [
        row("ngram-int8", 0.90, throughput=300_000),
        row("bert-4x312-int8", 0.94, latency_ms=3.0, throughput=3000.0),
    ]
    found = list(order._cascades(search))
    assert [one.call.config["guarantee"] for one in found] == ["agreement"] * 3
    assert [one.call.config["alpha"] for one in found] == [0.01, 0.02, 0.05]
    assert names(found)[0] == "cascade-ngram-bert-4x312-agreement-100"


def test_students_whose_whole_training_is_shortest_come_first_and_those_for_another_use_last(make_search):
    students = ("ngram", "bert-2x128", "textcnn", "bert-4x312")
    search = replace(make_search(students=students, max_latency_ms=1.0, max_size_mb=10), texts=MANY)
    assert [num_passes(search, name) for name in students] == [3, 3, 8, 3]
    seconds = {"ngram": 0.003, "bert-2x128": 0.005, "textcnn": 0.0015, "bert-4x312": 0.001}
    search.shapes = [
        shape(name, latency_ms=2.4 if name == "bert-4x312" else 0.1, throughput=9000) | {"train_seconds_per_text": one}
        for name, one in seconds.items()
    ]
    found = names(order._students(search))
    assert found[::2] == ["ngram-student", "textcnn-student", "bert-2x128-student", "bert-4x312-student"]
    assert found[1::2] == ["ngram-int8", "textcnn-int8", "bert-2x128-int8", "bert-4x312-int8"]


def test_the_best_students_learn_longer_for_as_long_as_there_is_time(make_search):
    search = replace(make_search(students=("ngram", "bert-2x128")), texts=MANY)
    search.shapes = [
        shape("ngram", latency_ms=0.1, throughput=1) | {"train_seconds_per_text": 0.0001},
        shape("bert-2x128", latency_ms=0.1, throughput=1) | {"train_seconds_per_text": 0.005},
    ]
    search.rows = [row("ngram-student", 0.9), row("bert-2x128-student", 0.95)]
    passes = {one.name: one.call.config.get("num_epochs") for one in order._longer(search)}
    assert passes == {
        "bert-2x128-longer": 9,
        "bert-2x128-longer-int8": None,
        "ngram-longer": 12,
        "ngram-longer-int8": None,
    }
    search.bench.clock = Clock(search.bench.folder / "clock.json", 600)
    assert names(order._longer(search)) == ["ngram-longer", "ngram-longer-int8"]


def test_a_single_teacher_is_halved_only_where_its_8_bits_are_near_the_budget(make_search):
    search = replace(make_search(teacher="encoder", max_latency_ms=1.0, seconds=1000), texts=MANY)
    assert list(order._halves(search)) == []
    search.rows = [row("teacher-int8", 0.9, latency_ms=2.6)]
    assert list(order._halves(search)) == []
    search.rows = [row("teacher-int8", 0.9, latency_ms=2.4)]
    half, _ = order._halves(search)
    assert half.call.config == {"heads": 0.5, "feed_forward": 0.5, "precision": "fp32"}
    assert names(order._halves_of_dear(search)) == ["teacher-pruned", "teacher-pruned-int8"]
    search.present = [{"name": "teacher", "throughput": 100.0}]
    attempt(search, half)
    assert search.late == ["teacher-pruned: it would take about 108 min, and 16 min are left"]
    search.rows = [row("teacher-int8", 0.9)]
    assert list(order._halves_of_dear(search)) == []


def test_a_training_that_would_take_too_long_is_not_begun(make_search):
    search = replace(make_search(seconds=1000), texts=MANY)
    search.present = [{"name": "teacher", "throughput": 600.0}]
    search.shapes = [shape("ngram", latency_ms=0.1, throughput=1) | {"train_seconds_per_text": 0.01}]
    attempt(search, student(resolve("ngram"), {}, has_transfer=False))
    assert search.late == ["ngram-student: it would take about 38 min, and 16 min are left"]
    assert (search.rows, search.stages) == ([], [])


def test_a_training_that_is_late_is_ended_and_goes_on_later(make_search):
    search = make_search(seconds=0.001)
    stage = student(resolve("ngram"), {"num_epochs": 30}, has_transfer=False)
    write_json(search.bench.folder / "begun" / f"{stage.name}.json", {"model": "ngram", "num_epochs": 2})
    attempt(search, stage)
    assert search.late == ["ngram-student: it took longer than there was time; a later run goes on with it"]
    search.bench.clock = Clock(search.bench.folder / "clock.json", 3600)
    attempt(search, stage)
    assert search.row("ngram-student")["model"] == "ngram"
    assert search.stages[0].call.config == {"model": "ngram", "num_epochs": 2}
    attempt(search, int8_of(stage.name))
    assert search.row("ngram-int8")["accuracy"] > 0.5


def test_the_clock_counts_every_run_and_ends_what_is_late(tmp_path):
    assert Clock(tmp_path / "clock.json", 1000).seconds < 1
    write_json(tmp_path / "clock.json", {"seconds": 900.0})
    clock = Clock(tmp_path / "clock.json", 1000)
    assert 900 <= clock.seconds < 910
    assert 40 < clock.left <= 50
    clock.watch({})
    write_json(tmp_path / "clock.json", {"seconds": 960.0})
    with pytest.raises(LateError):
        Clock(tmp_path / "clock.json", 1000).watch({})
    assert Clock(tmp_path / "clock.json", 1000).seconds >= 960


def test_a_cascade_is_made_of_what_was_made_and_measured(make_search):
    search = make_search(teacher="council")
    members = ["member-2-ngram-int8", "member-1-linear-int8"]
    for name in members:
        attempt(search, int8_of(name.removesuffix("-int8")))
    attempt(search, cascade_of(members, [0.01, 0.02], alpha=0.4))
    made = search.row("cascade-member-2-ngram-member-1-linear-4000")
    assert made["format"] == "cascade"
    assert made["size_mb"] > search.row(members[0])["size_mb"]
    attempt(search, cascade_of(members, [0.05, 0.06], alpha=0.4))
    assert [one.call.config["costs"] for one in search.stages if one.call.verb == "cascade"] == [[0.01, 0.02]]
