"""The values of a Report against scores computed by hand."""

import json

import numpy as np
import pytest

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.artifacts.report import plain
from yanmo.machine import describe_machine
from yanmo.reporting.comparison import compare_rows
from yanmo.reporting.quality import compare, measure_quality, worst_mistakes

PROBABILITIES = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.8, 0.1, 0.1]], dtype=np.float32)
TARGETS = np.eye(3, dtype=np.float32)[[0, 1, 1, 1]]
CHOSEN = np.eye(3, dtype=bool)[PROBABILITIES.argmax(axis=1)]


def measure(probabilities_NC=PROBABILITIES, chosen_NC=CHOSEN, targets_NC=TARGETS, *, link=SOFTMAX, labels="abc"):
    found = measure_quality(probabilities_NC, chosen_NC, targets_NC, list(labels), link=link, num_resamples=200, seed=0)
    values = plain(found)
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


def test_one_row_all_right_and_all_wrong_stay_strict_json():
    assert measure(PROBABILITIES[:1], CHOSEN[:1], TARGETS[:1])["accuracy"] == 1.0
    assert measure(PROBABILITIES[2:], CHOSEN[2:], TARGETS[2:])["macro_f1"] == 0.0
    assert measure(PROBABILITIES, TARGETS.astype(bool))["macro_f1"] == 1.0


def test_many_labels_a_row_have_no_confusion():
    targets_NC = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1]])
    values = measure(PROBABILITIES, PROBABILITIES >= 0.5, targets_NC, link=SIGMOID)
    assert (values["confusion_matrix"], values["most_confused"]) == (None, [])
    assert values["accuracy"] == 0.25
    assert sum(one["count"] for one in values["calibration"]) == 12


def test_the_surest_mistake_comes_first():
    assert worst_mistakes(PROBABILITIES, CHOSEN, TARGETS, link=SOFTMAX, num_mistakes=9) == [
        (3, pytest.approx(0.8)),
        (2, pytest.approx(0.6)),
    ]
    assert len(worst_mistakes(PROBABILITIES, CHOSEN, TARGETS, link=SOFTMAX, num_mistakes=1)) == 1
    assert worst_mistakes(PROBABILITIES, CHOSEN, CHOSEN, link=SOFTMAX, num_mistakes=9) == []
    none = np.zeros((4, 3), bool)
    found = worst_mistakes(PROBABILITIES, none, TARGETS, link=SIGMOID, num_mistakes=1)
    assert found == [(3, pytest.approx(0.9))]


def test_a_model_against_itself_and_against_a_worse_one():
    same = compare(CHOSEN, CHOSEN, TARGETS, num_resamples=100, seed=0)
    assert (same["accuracy_difference"], same["accuracy_difference_interval"]) == (0.0, (0.0, 0.0))
    assert same["mcnemar_p_value"] == 1.0
    better = compare(TARGETS.astype(bool), CHOSEN, TARGETS, num_resamples=100, seed=0)
    assert (better["accuracy"], better["accuracy_difference"]) == (0.5, 0.5)
    assert (better["only_this_right"], better["only_against_right"], better["mcnemar_p_value"]) == (2, 0, 0.5)


def test_rows_of_a_comparison_say_how_far_they_are_behind():
    facts = [{"name": "half"}, {"name": "all"}]
    first, second = compare_rows(facts, [CHOSEN, TARGETS.astype(bool)], TARGETS, num_resamples=100, seed=0)
    assert (first["name"], first["behind_best"], first["behind_best_interval"]) == ("all", 0.0, (0.0, 0.0))
    assert (second["name"], second["behind_best"]) == ("half", -0.5)
    assert second["behind_best_interval"][0] <= -0.5 <= second["behind_best_interval"][1] <= 0


def test_the_machine_is_described():
    machine = describe_machine()
    assert machine["num_cores"] >= 1
    assert machine["processor"]
    json.dumps(machine, allow_nan=False)
