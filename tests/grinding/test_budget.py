"""Budgets: what is missed and by how much, what is chosen, and what to loosen."""

from yanmo.grinding.budget import Budget, choose, costs_only, misses, nearest, say_misses
from yanmo.metrics.labels import ACCURACY
from yanmo.metrics.measures import Measure

BUDGET = Budget(max_latency_ms=1.0, min_throughput=1000, max_size_mb=10, max_drop=0.01)


def row(name, **values):
    good = {"accuracy": 0.9, "latency_ms": 0.5, "throughput": 5000.0, "size_mb": 5.0, "drop_at_most": 0.005}
    measured = {"drop": 0.9 - values.get("accuracy", 0.9), "num_rows": 1200}
    return {"name": name, **measured, **good, **values}


def test_every_constraint_is_held_against_a_row():
    assert misses(BUDGET, row("good")) == {}
    assert misses(BUDGET, row("slow", latency_ms=1.5, throughput=900.0)) == {
        "max_latency_ms": 1.5,
        "min_throughput": 900.0,
    }
    assert misses(BUDGET, row("large", size_mb=11.0)) == {"max_size_mb": 11.0}
    assert misses(BUDGET, row("wrong", drop_at_most=0.02)) == {"max_drop": 0.02}
    assert misses(BUDGET, costs_only(row("wrong", drop_at_most=0.02))) == {}
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
    assert say_misses(BUDGET, found[0], ACCURACY) == "near needs max_latency_ms 1.2 instead of 1"


def test_an_interval_that_misses_says_how_many_rows_it_needs():
    few = row("few", drop=0.003, drop_at_most=0.014)
    assert say_misses(BUDGET, few, ACCURACY) == (
        "few needs max_drop 0.014 instead of 0.01 (it loses 0.30 points, but 1,200 rows only show that it is at most "
        "1.40: about 3,000 rows in the split valid would do)"
    )
    lost = row("lost", drop=0.02, drop_at_most=0.03)
    assert say_misses(BUDGET, lost, ACCURACY) == "lost needs max_drop 0.03 instead of 0.01"


def test_a_headline_that_is_no_rate_is_told_in_its_own_unit():
    stars = Measure("mean_error", lambda sums: sums[..., 0], "mean error in stars", is_rate=False)
    few = row("few", drop=0.3, drop_at_most=1.4)
    assert say_misses(Budget(max_drop=1.0), few, stars) == (
        "few needs max_drop 1.4 instead of 1 (it loses 0.3, but 1,200 rows only show that it is at most 1.4: about "
        "3,000 rows in the split valid would do)"
    )
