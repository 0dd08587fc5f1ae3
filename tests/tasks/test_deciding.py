"""What a request sets decides the same for whoever answers, and what is withheld once stays so."""

import numpy as np
import pytest

from yanmo.answers.choices import Choices
from yanmo.tasks import get_task
from yanmo.tasks.deciding import decide, decide_again, most_probable

LABELS = ["a", "b", "c"]
VALUES = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], dtype=np.float32)
SINGLE, MULTI = get_task("single_label"), get_task("multi_label")
ABSTAINED = np.array([True, False, False])


def says(task):
    return Choices(VALUES, task.link)


def test_what_a_threshold_and_a_cascade_withhold_adds_up():
    plain = decide(SINGLE, says(SINGLE), LABELS)
    assert (plain.predictions, plain.silent_N) == (["a", "b", "c"], None)
    found = decide(SINGLE, says(SINGLE), LABELS, threshold=0.55, abstained_N=ABSTAINED)
    assert found.predictions == [None, None, "c"]
    assert found.silent_N.tolist() == [True, True, False]
    assert found.probability_N.tolist() == plain.probability_N.tolist()


def test_of_many_labels_only_a_cascade_withholds():
    found = decide(MULTI, says(MULTI), LABELS, threshold=0.55)
    assert (found.predictions, found.silent_N) == ([("a",), (), ("c",)], None)
    assert decide(MULTI, says(MULTI), LABELS, abstained_N=ABSTAINED).silent_N.tolist() == ABSTAINED.tolist()


@pytest.mark.parametrize("task", [SINGLE, MULTI], ids=lambda task: task.name)
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.55, 1.0])
@pytest.mark.parametrize("can_abstain", [False, True])
def test_what_was_shown_is_decided_as_the_evidence_is(task, threshold, can_abstain):
    abstained_N = ABSTAINED if can_abstain else None
    whole = decide(task, says(task), LABELS, threshold=threshold, abstained_N=abstained_N)
    for row, details in enumerate(task.details(says(task), LABELS)):
        abstained = bool(ABSTAINED[row]) if can_abstain else None
        found = decide_again(task, details, threshold=threshold, abstained=abstained)
        assert found.predictions == [whole.predictions[row]]
        assert found.probability_N == pytest.approx(whole.probability_N[row])
        assert (found.silent_N is None) == (whole.silent_N is None)
        assert found.silent_N is None or found.silent_N[0] == whole.silent_N[row]


def test_the_most_probable_come_first_and_equals_in_their_order():
    details = {"a": 0.2, "b": 0.4, "c": 0.4}
    assert most_probable(details) == [("b", 0.4), ("c", 0.4), ("a", 0.2)]
    assert most_probable(details, top_k=1) == [("b", 0.4)]
    assert most_probable(details, threshold=0.4) == [("b", 0.4), ("c", 0.4)]
    assert most_probable(details, top_k=2, threshold=0.5) == []
