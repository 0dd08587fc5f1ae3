"""Members are matched by label and by id, and what cannot be matched is said exactly."""

import numpy as np
import pytest

from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.answers.pointers import Pointers
from yanmo.combine.alignment import check_probabilities, match_labels, match_rows
from yanmo.errors import ConfigError, DataError

GOOD_NC = np.array([[0.25, 0.75], [1.0, 0.0]], dtype=np.float32)
SAME_ROWS = "hint: Make them of the same rows: the same Dataset, the same split."
BROKEN = "hint: A model that answers so is broken; train it again, or leave it out."


def test_columns_are_found_by_label_whatever_their_order():
    assert match_labels(["a", "b", "c"], ["c", "a", "b"], name="m", reference="d") == [1, 2, 0]


@pytest.mark.parametrize(
    ("labels", "own", "message"),
    [
        (["a", "b"], ["a"], "m has no label 'b', which d has.\nhint: Labels are matched by name. The labels of m: a."),
        (["a"], ["a", "b"], "d has no label 'b', which m has.\nhint: Labels are matched by name. The labels of d: a."),
        (["a", "b", "c"], ["a", "x"], "m has no label 'b' and 1 other, which d has."),
    ],
)
def test_different_label_lists_are_refused(labels, own, message):
    with pytest.raises(DataError) as caught:
        match_labels(labels, own, name="m", reference="d")
    assert str(caught.value).startswith(message)


def test_rows_are_found_by_id_whatever_their_order():
    assert match_rows(["1", "2", "3"], ["3", "1", "2"], name="m", reference="d").tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (["1", "2"], "m lacks 1 of the 3 rows of d, such as the id '3'."),
        (["1", "2", "x"], "m lacks 1 of the 3 rows of d, such as the id '3'."),
        (["1", "2", "3", "4"], "m has 4 rows, d has 3; one too many is the id '4'."),
        (["1", "2", "3", "3"], "m has 4 rows, d has 3; one too many is the id '3'."),
    ],
)
def test_missing_and_different_ids_are_refused(own, message):
    with pytest.raises(DataError) as caught:
        match_rows(["1", "2", "3"], own, name="m", reference="d")
    assert str(caught.value) == f"{message}\n{SAME_ROWS}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "m gives row 2 the probability nan for 'b'."),
        (-0.5, "m gives row 2 the probability -0.5 for 'b'."),
        (np.inf, "m gives row 2 the probability inf for 'b'."),
        (0.5, "m gives row 2 probabilities that sum to 1.5, not to 1."),
    ],
)
def test_what_is_no_probability_is_refused(value, message):
    broken_NC = GOOD_NC.copy()
    broken_NC[1, 1] = value
    with pytest.raises(DataError) as caught:
        check_probabilities(Choices(broken_NC, SOFTMAX), name="m", labels=["a", "b"])
    assert str(caught.value) == f"{message}\n{BROKEN}"


def test_probabilities_pass_and_with_many_labels_need_no_sum():
    for one in (
        Choices(GOOD_NC, SOFTMAX),
        Choices(np.ones((3, 2), np.float32), SIGMOID),
        Choices(np.zeros((0, 2), np.float32), SOFTMAX),
    ):
        check_probabilities(one, name="m", labels=["a", "b"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5, 0.5, np.nan], "m gives decision 2 the probability nan for one of its cells."),
        ([0.5, 1.5, 1.0], "m gives decision 1 the probability 1.5 for one of its cells."),
        ([0.5, 0.5, 0.5], "m gives row 2 probabilities that sum to 0.5, not to 1."),
    ],
)
def test_cells_must_hold_probabilities_too(values, message):
    evidence = Pointers(np.array(values, np.float32), np.array([0, 2, 3]), np.array([0, 1, 2]))
    with pytest.raises(DataError) as caught:
        check_probabilities(evidence, name="m", labels=[])
    assert str(caught.value) == f"{message}\n{BROKEN}"


def test_a_form_without_a_row_is_named():
    with pytest.raises(ConfigError, match=r"An ensemble is for answers of the form Choices and .*\. Got list"):
        check_probabilities([], name="m", labels=[])
