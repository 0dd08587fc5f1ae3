"""The contract of every task, and what is special about each."""

import numpy as np
import polars as pl
import pytest

from yanmo.errors import ConfigError, DataError
from yanmo.tasks import TASKS, get_task

RAW = {
    "single_label": ["b", " a ", "a", "", None],
    "text_pair": ["b", " a ", "a", "", None],
    "multi_label": ["b,a", '["a"]', "", "[1", None],
}


@pytest.fixture(params=list(TASKS))
def task(request):
    return TASKS[request.param]


def parsed(task):
    return task.parse_labels(pl.Series("label", RAW[task.name]), ",")


def test_refused_labels_become_null(task):
    assert parsed(task).is_null().to_list() == [False, False, False, True, True]


def test_labels_encode_and_decode_to_themselves(task):
    column = parsed(task).drop_nulls()
    labels = task.label_names(column)
    assert labels == ["a", "b"]
    targets_NC = task.encode(column, labels)
    assert targets_NC.dtype == np.float32
    decoded = [prediction.label for prediction in task.decode(targets_NC, labels)]
    expected = [tuple(sorted(one)) if isinstance(one, list) else one for one in column.to_list()]
    assert decoded == expected
    np.testing.assert_array_equal(task.choose(targets_NC), targets_NC.astype(bool))


def test_probabilities_are_probabilities_even_of_huge_scores(task):
    probabilities_NC = task.link.activate(np.array([[1e4, -1e4], [0, 0], [-1e4, 1e4]], dtype=np.float32))
    assert probabilities_NC.dtype == np.float32
    np.testing.assert_allclose(probabilities_NC, [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-6)


def test_columns_of_answers_hold_what_is_decoded(task):
    probabilities_NC = np.random.default_rng(0).random((40, 3), dtype=np.float32)
    probabilities_NC[:2] = [[0.1, 0.2, 0.3], [0.9, 0.9, 0.9]]
    answers, probability_N = task.answer(probabilities_NC, ["a", "b", "c"])
    decoded = task.decode(probabilities_NC, ["a", "b", "c"])
    assert [tuple(one) if isinstance(one, list) else one for one in answers.to_list()] == [one.label for one in decoded]
    assert probability_N.tolist() == [one.probability for one in decoded]
    is_list = isinstance(decoded[0].label, tuple)
    for rows_NC in (probabilities_NC, probabilities_NC[:0], probabilities_NC[:1]):
        answers, probability_N = task.answer(rows_NC, ["a", "b", "c"])
        assert len(answers) == len(probability_N) == len(rows_NC)
        assert answers.dtype == (pl.List(pl.String) if is_list else pl.String)


def test_no_rows_give_no_answers(task):
    empty_NC = np.zeros((0, 2), dtype=np.float32)
    assert task.link.activate(empty_NC).shape == (0, 2)
    assert task.decode(empty_NC, ["a", "b"]) == []
    assert task.choose(empty_NC).shape == (0, 2)


def test_an_unknown_label_is_named_with_the_closest_known_one(task):
    column = pl.Series([["alphabet"]]) if task.name == "multi_label" else pl.Series(["alphabet"])
    with pytest.raises(DataError) as caught:
        task.encode(column, ["alpha bet", "b"])
    assert str(caught.value) == (
        "The label 'alphabet' is unknown. Did you mean 'alpha bet'?\nhint: The known labels are: alpha bet, b."
    )


def test_an_unknown_task_is_named_with_the_closest_known_one():
    with pytest.raises(ConfigError, match="There is no task 'single_lable'. Did you mean 'single_label'"):
        get_task("single_lable")


def test_whole_numbers_are_sorted_as_numbers():
    assert TASKS["single_label"].label_names(pl.Series(["10", "9", "2"])) == ["2", "9", "10"]
    assert TASKS["single_label"].label_names(pl.Series(["10", "9", "b"])) == ["10", "9", "b"]


def test_the_probability_of_a_multi_label_answer_is_its_weakest_decision():
    (answer,) = TASKS["multi_label"].decode(np.array([[0.9, 0.6, 0.3]], dtype=np.float32), ["a", "b", "c"])
    assert answer.label == ("a", "b")
    assert answer.probability == pytest.approx(0.6)


def test_an_empty_name_is_no_label():
    column = TASKS["multi_label"].parse_labels(pl.Series(['["x", "", " "]', "x||", '[""]']), "|")
    assert column.to_list() == [["x"], ["x"], []]


def test_json_lists_and_separated_labels_may_stand_in_one_column():
    column = TASKS["multi_label"].parse_labels(pl.Series(['["x", 2]', "x|2|x", "", "[{}]"]), "|")
    assert column.to_list() == [["x", "2"], ["x", "2"], [], None]
