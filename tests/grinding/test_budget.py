"""Budgets and chains of stages: what is missed and by how much, what is chosen, and the pipeline that says it again."""

import tomllib

from yanmo.grinding.budget import Budget, choose, misses, nearest, say_misses
from yanmo.grinding.candidates import cascade_of, chain, recipe, student_stages, teacher_stages

BUDGET = Budget(max_latency_ms=1.0, min_throughput=1000, max_size_mb=10, max_drop=0.01)


def row(name, **values):
    good = {"accuracy": 0.9, "latency_ms": 0.5, "throughput": 5000.0, "size_mb": 5.0, "drop_at_most": 0.005}
    return {"name": name, **good, **values}


def test_every_constraint_is_held_against_a_row():
    assert misses(BUDGET, row("good")) == {}
    assert misses(BUDGET, row("slow", latency_ms=1.5, throughput=900.0)) == {
        "max_latency_ms": 1.5,
        "min_throughput": 900.0,
    }
    assert misses(BUDGET, row("large", size_mb=11.0)) == {"max_size_mb": 11.0}
    assert misses(BUDGET, row("wrong", drop_at_most=0.02)) == {"max_drop": 0.02}
    assert misses(Budget(max_memory_mb=100), row("fat", memory_mb=120.0)) == {"max_memory_mb": 120.0}
    assert misses(BUDGET, row("slow", latency_ms=1.05), tolerance=1.1) == {}


def test_the_most_accurate_row_that_meets_all_is_chosen():
    rows = [row("a", accuracy=0.95, size_mb=20.0), row("b", accuracy=0.91), row("c", accuracy=0.91, latency_ms=0.2)]
    assert choose(BUDGET, rows)["name"] == "c"
    assert choose(BUDGET, rows[:1]) is None


def test_the_nearest_rows_say_what_to_loosen():
    rows = [row("far", latency_ms=9.0), row("near", latency_ms=1.2), row("middle", size_mb=30.0)]
    found = nearest(BUDGET, rows, num_rows=2)
    assert [one["name"] for one in found] == ["near", "middle"]
    assert say_misses(BUDGET, found[0]) == "near needs max_latency_ms 1.2 instead of 1"


def test_a_chain_holds_what_is_needed_first_and_becomes_a_pipeline():
    stages = [*student_stages("ngram", {"num_altered": 2}), *student_stages("bert-2x128", {})]
    stages.append(cascade_of(["ngram-int8", "bert-2x128-pruned-int8"], 0.01))
    found = chain(stages, "cascade")
    assert [one.name for one in found] == [
        "ngram-student",
        "ngram-int8",
        "bert-2x128-student",
        "bert-2x128-pruned",
        "bert-2x128-pruned-int8",
        "cascade",
    ]
    tables = tomllib.loads(recipe(found, {"teacher": "models/council", "dataset": "data"}))["stage"]
    assert tables["ngram-student"] == {
        "verb": "distill",
        "teacher": "models/council",
        "dataset": "data",
        "model": "ngram",
        "num_altered": 2,
    }
    assert tables["cascade"]["stages"] == ["ngram-int8", "bert-2x128-pruned-int8"]
    assert tables["bert-2x128-pruned"]["heads"] == 0.5


def test_only_single_models_keep_the_teachers_shape():
    assert teacher_stages("ensemble", "None") == []
    assert [one.name for one in teacher_stages("torch", "encoder")] == [
        "teacher-int8",
        "teacher-pruned",
        "teacher-pruned-int8",
    ]
    assert [one.verb for one in teacher_stages("ngram", "ngram")] == ["quantize"]
