"""The contract of every task about whole texts, and what is special about each."""

import numpy as np
import polars as pl
import pytest

from yanmo import metrics
from yanmo.answers.choices import Choices
from yanmo.errors import ConfigError, DataError
from yanmo.metrics.labels import right_rows
from yanmo.tasks import TASKS, get_task
from yanmo.tasks.deciding import count_given

RAW = {
    "single_label": ["b", " a ", "a", "", None],
    "text_pair": ["b", " a ", "a", "", None],
    "multi_label": ["b,a", '["a"]', "", "[1", None],
}


@pytest.fixture(params=[name for name, task in TASKS.items() if task.head == "texts"])
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
    evidence = Choices(targets_NC, task.link)
    expected = [tuple(sorted(one)) if isinstance(one, list) else one for one in column.to_list()]
    assert task.decide(evidence, labels).predictions == expected
    np.testing.assert_array_equal(task.choose(targets_NC), targets_NC.astype(bool))
    assert task.right_N(evidence, targets_NC).all()


def test_targets_are_ones_and_zeros():
    single = TASKS["single_label"].encode(pl.Series(["b", "a", "b"]), ["a", "b", "c"])
    assert single.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    many = pl.Series([["c", "a"], [], ["b"], ["a", "b", "c"]])
    assert TASKS["multi_label"].encode(many, ["a", "b", "c"]).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]


def test_probabilities_are_probabilities_even_of_huge_scores(task):
    probabilities_NC = task.link.activate(np.array([[1e4, -1e4], [0, 0], [-1e4, 1e4]], dtype=np.float32))
    assert probabilities_NC.dtype == np.float32
    np.testing.assert_allclose(probabilities_NC, [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-6)


def test_a_column_of_predictions_holds_what_is_decided_and_details_all_probabilities(task):
    probabilities_NC = np.random.default_rng(0).random((40, 3), dtype=np.float32)
    probabilities_NC[:2] = [[0.1, 0.2, 0.3], [0.9, 0.9, 0.9]]
    labels = ["a", "b", "c"]
    names = [[label for label, yes in zip(labels, row, strict=True) if yes] for row in task.choose(probabilities_NC)]
    is_list = isinstance(task.frame_type(), pl.List)
    for rows_NC in (probabilities_NC, probabilities_NC[:0], probabilities_NC[:1]):
        evidence = Choices(rows_NC, task.link)
        decided = task.decide(evidence, labels)
        column = pl.Series(decided.predictions, dtype=task.frame_type())
        assert len(decided) == len(decided.probability_N) == len(rows_NC)
        assert column.dtype == (pl.List(pl.String) if is_list else pl.String)
        assert column.to_list() == [one if is_list else one[0] for one in names[: len(rows_NC)]]
        assert decided.predictions == [tuple(one) if is_list else one[0] for one in names[: len(rows_NC)]]
        assert decided.probability_N.dtype == np.float32
        assert [list(one.values()) for one in task.details(evidence, labels)] == rows_NC.tolist()
        assert all(list(one) == labels for one in task.details(evidence, labels))


def test_no_rows_give_no_answers(task):
    empty_NC = np.zeros((0, 2), dtype=np.float32)
    assert task.link.activate(empty_NC).shape == (0, 2)
    evidence = Choices(empty_NC, task.link)
    assert task.decide(evidence, ["a", "b"]).predictions == []
    assert task.details(evidence, ["a", "b"]) == []
    assert task.choose(empty_NC).shape == (0, 2)


def test_an_unknown_label_is_named_with_the_closest_known_one(task):
    column = pl.Series([["alphabet"]]) if task.name == "multi_label" else pl.Series(["alphabet"])
    with pytest.raises(DataError) as caught:
        task.encode(column, ["alpha bet", "b"])
    assert str(caught.value) == (
        "The label 'alphabet' is unknown. Did you mean 'alpha bet'?\nhint: The known labels are: alpha bet, b."
    )


@pytest.mark.parametrize(("num_labels", "end"), [(20, "label19."), (21, "label19, …."), (30, "label19, ….")])
def test_of_many_known_labels_twenty_are_named(num_labels, end):
    labels = [f"label{place}" for place in range(num_labels)]
    with pytest.raises(DataError) as caught:
        TASKS["single_label"].encode(pl.Series(["x"]), labels)
    assert caught.value.hint.endswith(f"label18, {end}")


def test_given_labels_are_counted_in_the_order_of_the_known_ones():
    assert count_given(TASKS["single_label"], ["b", None, "b", "a"], ["a", "b", "c"]).tolist() == [1, 2, 0]
    assert count_given(TASKS["multi_label"], [("b", "a"), (), None, ("b",)], ["a", "b", "c"]).tolist() == [1, 2, 0]


def test_an_unknown_task_is_named_with_the_closest_known_one():
    with pytest.raises(ConfigError, match="There is no task 'single_lable'. Did you mean 'single_label'"):
        get_task("single_lable")


def test_whole_numbers_are_sorted_as_numbers():
    assert TASKS["single_label"].label_names(pl.Series(["10", "9", "2"])) == ["2", "9", "10"]
    assert TASKS["single_label"].label_names(pl.Series(["10", "9", "b"])) == ["10", "9", "b"]
    assert TASKS["single_label"].label_names(pl.Series(["1", "01", "2", "001"])) == ["001", "01", "1", "2"]
    assert TASKS["single_label"].label_names(pl.Series(["²", "10", "9"])) == ["10", "9", "²"]


def test_the_probability_of_a_multi_label_answer_is_its_weakest_decision():
    task = TASKS["multi_label"]
    evidence = Choices(np.array([[0.9, 0.6, 0.3]], dtype=np.float32), task.link)
    decided = task.decide(evidence, ["a", "b", "c"])
    assert decided.predictions == [("a", "b")]
    assert decided.probability_N == pytest.approx([0.6])
    fewer = task.decide(evidence, ["a", "b", "c"], threshold=0.7)
    assert fewer.predictions == [("a",)]
    assert fewer.probability_N == pytest.approx([0.4])
    exact = Choices(np.array([[0.5, 0.75, 0.25]], dtype=np.float32), task.link)
    assert task.decide(exact, ["a", "b", "c"]).predictions == [("a", "b")]
    assert task.decide(exact, ["a", "b", "c"], threshold=0.75).predictions == [("b",)]
    assert task.decide(exact, ["a", "b", "c"], threshold=0.25).predictions == [("a", "b", "c")]


@pytest.mark.parametrize("name", ["single_label", "text_pair"])
def test_what_is_less_probable_than_a_threshold_is_no_answer_but_as_sure_as_before(name):
    task = TASKS[name]
    evidence = Choices(np.array([[0.75, 0.25], [0.5, 0.5], [0.4, 0.6]], dtype=np.float32), task.link)
    decided = task.decide(evidence, ["a", "b"], threshold=0.6)
    assert decided.predictions == ["a", None, "b"]
    assert decided.probability_N.tolist() == task.decide(evidence, ["a", "b"]).probability_N.tolist()


def test_the_first_measure_of_a_task_is_its_headline():
    headlines = {name: task.measures[0].name for name, task in TASKS.items() if task.head == "texts"}
    assert headlines == {"single_label": "accuracy", "text_pair": "accuracy", "multi_label": "micro_f1"}


def test_statistics_give_every_measure_and_say_which_rows_are_right(task):
    generator = np.random.default_rng(0)
    evidence = Choices(task.link.activate(generator.normal(size=(50, 3)).astype(np.float32)), task.link)
    targets_NC = task.choose(task.link.activate(generator.normal(size=(50, 3)).astype(np.float32))).astype(np.float32)
    chosen_NC, statistics_NS = task.choose(evidence.values_MC), task.statistics(evidence, targets_NC)
    counts = metrics.label_counts(chosen_NC, targets_NC)
    expected = {
        "accuracy": metrics.accuracy(chosen_NC, targets_NC),
        "macro_f1": float(metrics.macro_f1(counts)),
        "micro_f1": float(metrics.micro_f1(counts)),
        "weighted_f1": float(metrics.weighted_f1(counts)),
    }
    assert {one.name: one.score(statistics_NS) for one in task.measures} == expected
    np.testing.assert_array_equal(right_rows(statistics_NS), task.right_N(evidence, targets_NC))
    assert task.right_N(evidence, targets_NC).mean() == expected["accuracy"]


def test_losses_and_confidences_are_those_of_the_link_and_a_model_decides_as_itself(task):
    evidence = Choices(np.random.default_rng(0).random((20, 3), dtype=np.float32), task.link)
    other = evidence.take(np.arange(20)[::-1])
    targets_NC = task.choose(other.values_MC).astype(np.float32)
    np.testing.assert_array_equal(
        task.losses_N(evidence, targets_NC), task.link.log_losses(evidence.values_MC, targets_NC)
    )
    np.testing.assert_array_equal(task.confidence_N(evidence), task.link.confidence_M(evidence.values_MC))
    assert task.same_N(evidence, evidence).all()
    same_N = task.same_N(evidence, other)
    assert not same_N.all()
    np.testing.assert_array_equal(same_N, task.right_N(evidence, targets_NC))


def test_an_empty_name_is_no_label():
    column = TASKS["multi_label"].parse_labels(pl.Series(['["x", "", " "]', "x||", '[""]']), "|")
    assert column.to_list() == [["x"], ["x"], []]


def test_json_lists_and_separated_labels_may_stand_in_one_column():
    column = TASKS["multi_label"].parse_labels(pl.Series(['["x", 2]', "x|2|x", "", "[{}]"]), "|")
    assert column.to_list() == [["x", "2"], ["x", "2"], [], None]


def test_rows_are_one_answer_where_all_have_the_same_labels():
    task = get_task("single_label")
    same, other = np.array([[1, 0], [1, 0]], np.float32), np.array([[1, 0], [0, 1]], np.float32)
    assert [task.is_one_answer(one) for one in (same, same[:1], other)] == [True, True, False]
