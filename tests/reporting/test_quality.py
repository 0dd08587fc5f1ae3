"""The values of a Report against scores computed by hand."""

import dataclasses
import json

import numpy as np
import pytest

from yanmo.answers.choices import Choices
from yanmo.artifacts.report import plain
from yanmo.machine import describe_machine
from yanmo.metrics.labels import ACCURACY
from yanmo.metrics.measures import Measure
from yanmo.reporting.comparison import compare_rows
from yanmo.reporting.members import agreement_matrix, compare_members, leave_one_out
from yanmo.reporting.quality import compare_answers, measure_quality, worst_mistakes
from yanmo.tasks import get_task

PROBABILITIES = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.8, 0.1, 0.1]], dtype=np.float32)
TARGETS = np.eye(3, dtype=np.float32)[[0, 1, 1, 1]]
SINGLE, MULTI = get_task("single_label"), get_task("multi_label")
ERRORS = Measure(
    "errors", lambda sums: 3 * (1 - ACCURACY.of_sums(sums)), "errors", higher_is_better=False, is_rate=False
)
STRICT = dataclasses.replace(SINGLE, measures=(ERRORS, ACCURACY))
"""A task whose headline is better when it is lower, and no rate."""


def says(values_NC, task=SINGLE):
    return Choices(np.asarray(values_NC, dtype=np.float32), task.link)


CHOSEN, RIGHT = says(PROBABILITIES), says(TARGETS)
SAMPLING = {"num_resamples": 100, "seed": 0}


def measure(evidence=CHOSEN, targets_NC=TARGETS, task=SINGLE):
    values = plain(measure_quality(evidence, targets_NC, list("abc"), task, num_resamples=200, seed=0))
    json.dumps(values, allow_nan=False)
    return values


def test_scores_tables_and_what_has_no_value():
    values = measure()
    assert (values["num_rows"], values["accuracy"]) == (4, 0.5)
    assert values["accuracy_interval"] == pytest.approx([0.15, 0.85], abs=0.001)
    assert values["macro_f1"] == pytest.approx((0.5 + 0.5) / 2)
    assert values["roc_auc"] is None
    a, b, c = values["per_label"]
    assert a == {
        "label": "a",
        "precision": pytest.approx(1 / 3),
        "recall": 1.0,
        "f1": 0.5,
        "support": 1,
        "predicted": 3,
    }
    assert (b["support"], b["predicted"], b["precision"]) == (3, 1, 1.0)
    assert (c["precision"], c["recall"], c["f1"]) == (None, None, None)
    assert values["confusion_matrix"] == [[1, 0, 0], [2, 1, 0], [0, 0, 0]]
    assert values["most_confused"] == [{"label": "b", "predicted": "a", "count": 2, "share": pytest.approx(2 / 3)}]
    assert sum(one["count"] for one in values["calibration"]) == 4
    assert values["headline"] == {"name": "accuracy", "title": "accuracy", "higher_is_better": True, "is_rate": True}
    assert [one["name"] for one in values["measures"]] == ["accuracy", "macro_f1", "micro_f1", "weighted_f1"]


def test_one_row_all_right_and_all_wrong_stay_strict_json():
    assert measure(says(PROBABILITIES[:1]), TARGETS[:1])["accuracy"] == 1.0
    assert measure(says(PROBABILITIES[2:]), TARGETS[2:])["macro_f1"] == 0.0
    assert measure(RIGHT)["macro_f1"] == 1.0


def test_many_labels_a_row_have_no_confusion():
    targets_NC = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1]])
    values = measure(says(PROBABILITIES, MULTI), targets_NC, MULTI)
    assert (values["confusion_matrix"], values["most_confused"]) == (None, [])
    assert values["accuracy"] == 0.25
    assert sum(one["count"] for one in values["calibration"]) == 12
    assert values["headline"]["name"] == values["measures"][0]["name"] == "micro_f1"
    assert values["micro_f1"] == pytest.approx(2 * 2 / (4 + 4))


def test_the_surest_mistake_comes_first():
    assert worst_mistakes(CHOSEN, TARGETS, SINGLE, num_mistakes=9) == [
        (3, pytest.approx(0.8)),
        (2, pytest.approx(0.6)),
    ]
    assert len(worst_mistakes(CHOSEN, TARGETS, SINGLE, num_mistakes=1)) == 1
    assert worst_mistakes(CHOSEN, SINGLE.choose(PROBABILITIES), SINGLE, num_mistakes=9) == []
    low = says(PROBABILITIES / 2, MULTI)
    assert not MULTI.choose(low.values_MC).any()
    assert worst_mistakes(low, TARGETS, MULTI, num_mistakes=1) == [(3, pytest.approx(0.95))]


def test_a_model_against_itself_and_against_a_worse_one():
    same = compare_answers(CHOSEN, CHOSEN, TARGETS, SINGLE, num_resamples=100, seed=0)
    assert (same["accuracy_difference"], same["accuracy_difference_interval"]) == (0.0, (0.0, 0.0))
    assert same["mcnemar_p_value"] == 1.0
    better = compare_answers(RIGHT, CHOSEN, TARGETS, SINGLE, num_resamples=100, seed=0)
    assert (better["accuracy"], better["accuracy_difference"]) == (0.5, 0.5)
    assert (better["only_this_right"], better["only_against_right"], better["mcnemar_p_value"]) == (2, 0, 0.5)


def test_rows_of_a_comparison_say_how_far_they_are_behind():
    facts = [{"name": "half"}, {"name": "all"}]
    first, second = compare_rows(facts, [CHOSEN, RIGHT], TARGETS, SINGLE, num_resamples=100, seed=0)
    assert (first["name"], first["behind_best"], first["behind_best_interval"]) == ("all", 0.0, (0.0, 0.0))
    assert (second["name"], second["behind_best"]) == ("half", -0.5)
    assert second["behind_best_interval"][0] <= -0.5 <= second["behind_best_interval"][1] <= 0


def test_where_less_is_better_the_least_comes_first_and_any_number_may_stand():
    facts = [{"name": "half"}, {"name": "all"}]
    first, second = compare_rows(facts, [CHOSEN, RIGHT], TARGETS, STRICT, num_resamples=100, seed=0)
    assert (first["name"], first["errors"], second["errors"], second["behind_best"]) == ("all", 0.0, 1.5, 1.5)
    assert second["errors_interval"][1] > 1.5
    assert second["accuracy_interval"] == pytest.approx([0.15, 0.85], abs=0.001)
    values = measure(CHOSEN, TARGETS, STRICT)
    assert (values["errors"], values["headline"]["higher_is_better"]) == (1.5, False)
    against = compare_answers(CHOSEN, RIGHT, TARGETS, STRICT, num_resamples=100, seed=0)
    assert (against["errors"], against["errors_difference"], against["accuracy_difference"]) == (0.0, 1.5, -0.5)


def test_a_comparison_of_two_says_what_one_against_the_other_says():
    second, first = compare_rows([{"name": "half"}, {"name": "all"}], [CHOSEN, RIGHT], TARGETS, SINGLE, **SAMPLING)[
        ::-1
    ]
    against = compare_answers(CHOSEN, RIGHT, TARGETS, SINGLE, **SAMPLING)
    assert second["behind_best_interval"] == against["accuracy_difference_interval"]
    assert [first[name] for name in ("accuracy", "macro_f1")] == [against[name] for name in ("accuracy", "macro_f1")]
    alone = measure_quality(CHOSEN, TARGETS, list("abc"), SINGLE, **SAMPLING)
    assert second["accuracy_interval"] == alone["accuracy_interval"]
    assert {name for name in against if name.endswith("_difference")} == {"accuracy_difference", "macro_f1_difference"}


def test_rows_of_a_comparison_without_any_label_have_no_f1():
    nothing = says(np.zeros((4, 3)), MULTI)
    facts = [{"name": "first"}, {"name": "second"}]
    rows = compare_rows(facts, [nothing, nothing], nothing.values_MC, MULTI, num_resamples=100, seed=0)
    assert [row["accuracy"] for row in rows] == [1.0, 1.0]
    assert [row["micro_f1_interval"] for row in rows] == [None, None]
    assert np.isnan([row["micro_f1"] for row in rows]).all()


def test_members_are_held_against_the_whole_by_the_headline():
    sampling = {"num_resamples": 50, "seed": 0}
    half, whole = compare_members(
        [{"name": "half"}, {"name": "all"}], [CHOSEN, RIGHT], RIGHT, TARGETS, STRICT, **sampling
    )
    assert (half["name"], half["errors"], half["errors_difference"]) == ("half", 1.5, -1.5)
    assert (whole["errors_difference"], whole["mcnemar_p_value"]) == (0.0, 1.0)
    assert agreement_matrix([CHOSEN, RIGHT], STRICT) == [[1.0, 0.5], [0.5, 1.0]]
    new, old = leave_one_out(["new", "old"], [None, CHOSEN], RIGHT, TARGETS, STRICT, **sampling)
    assert (new["name"], new["errors"], new["errors_difference"]) == ("new", None, None)
    assert (old["errors"], old["errors_difference"]) == (1.5, -1.5)


def test_the_machine_is_described():
    machine = describe_machine()
    assert machine["num_cores"] >= 1
    assert machine["processor"]
    json.dumps(machine, allow_nan=False)
