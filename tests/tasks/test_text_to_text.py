"""Texts that are written for others: what is decided, what counts as right, what a person is told."""

import numpy as np
import polars as pl
import pytest

from yanmo.answers.answered import Answered, Found
from yanmo.answers.sequences import Sequences
from yanmo.answers.text_truth import TextTruth
from yanmo.answers.writings import Writings
from yanmo.tasks import TASKS
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig

TASK = TASKS["text_to_text"]


@pytest.fixture
def evidence():
    """Two candidates of the first row, with the probabilities 0.64 (0.8 a token) and 0.25, and one of the second."""
    texts = ["ab", "ac", "d"]
    values = np.log([0.8, 0.8, 0.5, 0.5, 0.9]).astype(np.float32)
    places = np.array([[0, 1], [1, 2], [0, 1], [1, 2], [0, 1]])
    return Writings(Sequences(values, np.array([0, 2, 4, 5]), places, texts), np.array([0, 2, 3]))


def test_the_best_text_is_decided_with_the_mean_probability_of_its_tokens(evidence):
    decided = TASK.decide(evidence, [])
    assert decided.predictions == ["ab", "d"]
    np.testing.assert_allclose(decided.probability_N, [0.8, 0.9], rtol=1e-6)
    assert TASK.decide(evidence, [], threshold=0.85).predictions == [None, "d"]


def test_a_person_is_told_all_candidates(evidence):
    nothing = np.zeros(2, dtype=np.int64)
    answered = Answered(TASK.decide(evidence, []), evidence, Found(nothing, nothing, nothing.astype(bool), 0))
    first, second = TASK.tell(answered, Inputs((["x", "y"],)), [])
    assert (first.label, list(first.probabilities)) == ("ab", ["ab", "ac"])
    assert first.probabilities["ac"] == pytest.approx(0.5)
    assert second.stage is None


def test_any_reference_is_right_and_the_loss_is_that_of_all_of_them(evidence):
    targets = TextTruth([("ac", "ab"), ("e",)])
    assert TASK.right_N(evidence, targets).tolist() == [True, False]
    np.testing.assert_allclose(np.exp(-TASK.losses_N(evidence, targets)), [0.89, 0.1], rtol=1e-5)
    np.testing.assert_allclose(TASK.gap_N(evidence), [0.39, 1.0], rtol=1e-5)


def test_a_row_without_references_is_neither_right_nor_wrong(evidence):
    targets = TASK.padded(TextTruth([("ab",)]), Inputs((["x", "y"],)))
    assert len(targets) == 2
    assert len(TASK.answers(evidence, targets)[0]) == len(TASK.losses_M(evidence, targets)) == 1
    assert TASK.measures[0].score(TASK.statistics(evidence, targets)) == 1.0


def test_references_are_cleaned_only_where_a_dataset_says_so():
    rows = pl.DataFrame({"targets": [["Ａ  b", "c"], None]})
    assert TASK.targets(rows, []).references == [("Ａ  b", "c"), ()]
    cleaned = TASK.reading(TextConfig(target_cleaning=("unicode_nfkc", "collapse_whitespace")))
    assert cleaned.targets(rows, []).references == [("A b", "c"), ()]


def test_rows_with_one_text_for_all_have_nothing_to_learn():
    assert TASK.is_one_answer(TextTruth([("a", "b"), ("a",)]))
    assert not TASK.is_one_answer(TextTruth([("a",), ("b",)]))


def test_to_be_unsure_and_wrong_loses_more_than_to_be_unsure_and_right(evidence):
    # What is left of all texts, 0.11, is more than a candidate has that is no likelier than 0.01.
    values = np.log([0.8, 0.8, 0.1, 0.1, 0.01]).astype(np.float32)
    unsure = Writings(evidence.candidates.with_parts(np.exp(values)), evidence.offsets)
    found = np.exp(-TASK.losses_N(unsure, TextTruth([("zz",), ("zz",)])))
    np.testing.assert_allclose(found, [0.01, 0.01], rtol=1e-5)


def test_a_text_as_probable_as_the_threshold_is_an_answer(evidence):
    (probability, _) = TASK.decide(evidence, []).probability_N.tolist()
    assert TASK.decide(evidence, [], threshold=probability).predictions == ["ab", "d"]


def test_who_says_nothing_of_a_cascade_has_not_abstained(evidence):
    nothing = np.zeros(2, dtype=np.int64)
    found = Found(nothing, nothing, nothing.astype(bool), 0)
    decided = TASK.decide(evidence, [])
    told = TASK.tell(Answered(decided, evidence, found), Inputs((["x", "y"],)), [])
    assert [one.abstained for one in told] == [False, False]
    silent = decided.withhold(np.array([True, False]))
    told = TASK.tell(Answered(silent, evidence, found), Inputs((["x", "y"],)), [])
    assert [one.abstained for one in told] == [True, False]


def test_a_gap_is_between_the_two_best_of_a_row(evidence):
    np.testing.assert_allclose(TASK.gap_N(evidence), [0.64 - 0.25, 1.0], rtol=1e-6)
