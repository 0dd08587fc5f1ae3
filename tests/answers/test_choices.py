"""Choices hold one decision a row or several, and give them back from a file as they were."""

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, SOFTMAX

VALUES_MC = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
ENDS = np.array([0, 2, 2, 5, 6])
"""Four rows of 2, 0, 3 and 1 decisions."""
PLACES = np.array([[0, 2], [3, 5], [0, 1], [1, 2], [2, 9], [4, 5]])
BOTH = pytest.mark.parametrize(
    "choices", [Choices(VALUES_MC, SOFTMAX), Choices(VALUES_MC, SOFTMAX, ENDS, PLACES)], ids=["1", "M"]
)


def rows_of(choices):
    """The decisions of every row, each of shape (decisions, C)."""
    offsets_N = choices.offsets_N.tolist()
    return [choices.values_MC[start:end].tolist() for start, end in pairwise(offsets_N)]


def test_rows_are_counted_not_decisions():
    assert len(Choices(VALUES_MC, SOFTMAX)) == 6
    assert len(Choices(VALUES_MC, SOFTMAX, ENDS)) == 4
    assert Choices(VALUES_MC, SOFTMAX).offsets_N.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert Choices(VALUES_MC, SOFTMAX, ENDS).offsets_N is ENDS


@BOTH
@pytest.mark.parametrize("places", [[3, 1, 0], [2, 2, 2], [], [0, 1, 2, 3]])
def test_rows_are_taken_in_the_given_order_with_all_their_decisions(choices, places):
    taken = choices.take(np.array(places, dtype=np.int64))
    assert len(taken) == len(places)
    assert rows_of(taken) == [rows_of(choices)[place] for place in places]
    assert taken.link is choices.link
    if choices.places is not None:
        wanted = [PLACES[start:end].tolist() for start, end in pairwise(ENDS.tolist())]
        assert taken.places.tolist() == [pair for place in places for pair in wanted[place]]
    assert (taken.ends is None) == (choices.ends is None)


@BOTH
def test_columns_are_put_in_another_order(choices):
    ordered = choices.ordered([2, 0, 1])
    np.testing.assert_array_equal(ordered.values_MC, VALUES_MC[:, [2, 0, 1]])
    assert ordered.values_MC.flags.c_contiguous
    assert ordered.ends is choices.ends
    np.testing.assert_array_equal(ordered.ordered([1, 2, 0]).values_MC, VALUES_MC)


@BOTH
def test_a_file_gives_back_what_it_was_given(tmp_path, choices):
    probabilities = choices.activate()
    pl.DataFrame(probabilities.columns()).write_parquet(tmp_path / "rows.parquet")
    frame = pl.read_parquet(tmp_path / "rows.parquet")
    assert len(frame) == len(choices)
    found = Choices.read(frame, SOFTMAX)
    np.testing.assert_array_equal(found.values_MC, probabilities.values_MC)
    np.testing.assert_array_equal(found.offsets_N, probabilities.offsets_N)
    np.testing.assert_array_equal(found.places, probabilities.places)
    assert found.values_MC.dtype == np.float32
    assert (found.ends is None) == (choices.ends is None)
    assert found.link is SOFTMAX


@pytest.mark.parametrize("ends", [None, np.array([0]), np.array([0, 0, 0])], ids=["none", "no rows", "two empty rows"])
def test_no_decisions_survive_a_file_too(ends):
    empty = Choices(np.zeros((0, 3), np.float32), SIGMOID, ends)
    found = Choices.read(pl.DataFrame(empty.columns()), SIGMOID)
    assert found.values_MC.shape == (0, 3)
    assert len(found) == len(empty)
    assert empty.activate().distance_N(empty.activate()).tolist() == [0.0] * len(empty)


def test_the_distance_of_a_row_is_its_largest_difference():
    other_MC = VALUES_MC.copy()
    other_MC[0, 1] += 0.25
    other_MC[1, 2] -= 0.5
    other_MC[5, 0] += 0.125
    single = Choices(VALUES_MC, SOFTMAX).distance_N(Choices(other_MC, SOFTMAX))
    assert single == pytest.approx([0.25, 0.5, 0, 0, 0, 0.125], abs=1e-6)
    many = Choices(VALUES_MC, SOFTMAX, ENDS).distance_N(Choices(other_MC, SOFTMAX, ENDS))
    assert many == pytest.approx([0.5, 0, 0, 0.125], abs=1e-6)


@BOTH
def test_what_is_no_number_is_close_to_nothing(choices):
    broken_MC = VALUES_MC.copy()
    broken_MC[5, 0] = np.nan
    found = choices.distance_N(Choices(broken_MC, SOFTMAX, choices.ends))
    assert not found[-1] <= 1e9
    assert (found[:-1] == 0).all()


@pytest.mark.parametrize("link", [SOFTMAX, SIGMOID], ids=lambda link: link.name)
def test_scores_and_probabilities_are_those_of_the_link(link):
    scores = Choices(VALUES_MC, link, ENDS)
    probabilities = scores.activate()
    np.testing.assert_array_equal(probabilities.values_MC, link.activate(VALUES_MC))
    assert probabilities.invert().activate().distance_N(probabilities).max() <= 1e-6
    assert probabilities.ends is scores.ends


@BOTH
def test_rows_that_were_answered_in_parts_come_back_at_their_numbers(choices):
    rows = np.array([3, 1, 0, 2] if choices.ends is not None else [3, 5, 1, 0, 4, 2])
    parts = [(rows[start:end], choices.take(rows[start:end])) for start, end in ((0, 1), (1, 3), (3, len(rows)))]
    whole = Choices.gathered(parts)
    assert rows_of(whole) == rows_of(choices)
    np.testing.assert_array_equal(whole.places, choices.places)
    alone = Choices.gathered([(rows, choices.take(rows))])
    assert rows_of(alone) == rows_of(choices)


def test_of_no_rows_at_all_parts_make_no_rows():
    none = Choices(VALUES_MC, SOFTMAX, ENDS, PLACES).take(np.zeros(0, dtype=np.int64))
    assert len(Choices.gathered([(np.zeros(0, dtype=np.int64), none)])) == 0


def test_the_least_of_each_row_is_1_where_it_has_no_decision():
    values_M = np.array([0.5, 0.25, 0.75, 0.5, 0.125, 1.0], dtype=np.float32)
    assert Choices(VALUES_MC, SOFTMAX, ENDS).least_N(values_M).tolist() == [0.25, 1.0, 0.125, 1.0]
    assert Choices(VALUES_MC, SOFTMAX).least_N(values_M).tolist() == values_M.tolist()


def joined(seed, joint):
    random = np.random.default_rng(seed)
    values_MC = SOFTMAX.activate(random.normal(size=(5, 3)).astype(np.float32))
    return Choices(values_MC, SOFTMAX, np.array([0, 2, 2, 5]), np.arange(10).reshape(5, 2), joint)


def test_what_is_decided_together_goes_along_and_is_forgotten_with_new_values():
    joint_M = np.array([0.5, 0.5, np.nan, 0.25, 0.25], dtype=np.float32)
    choices = joined(0, joint_M)
    np.testing.assert_array_equal(choices.take(np.array([2, 1, 0])).joint_M, joint_M[[2, 3, 4, 0, 1]])
    np.testing.assert_array_equal(choices.invert().activate().ordered([2, 0, 1]).joint_M, joint_M)
    assert choices.having(choices.values_MC).joint_M is None
    # The columns of a path are others in another order.
    known = Choices(choices.values_MC, SOFTMAX, choices.ends, choices.places, joint_M, np.zeros(5, dtype=np.int64))
    assert known.activate().path_M is not None
    assert known.ordered([2, 0, 1]).path_M is known.take(np.array([0])).path_M is None
    both = Choices.gathered([(np.array([3, 0, 4]), choices), (np.array([1, 2, 5]), joined(1, None))])
    np.testing.assert_array_equal(both.take(np.array([3, 0, 4])).joint_M, joint_M)
    assert np.isnan(both.take(np.array([1, 2, 5])).joint_M).all()


@pytest.mark.parametrize("is_json", [False, True])
def test_what_is_decided_together_is_written_and_read(is_json):
    choices = joined(0, np.array([0.5, 0.5, np.nan, 0.25, 0.25], dtype=np.float32))
    frame = pl.DataFrame(choices.columns())
    frame = pl.DataFrame(json.loads(json.dumps(frame.to_dict(as_series=False)))) if is_json else frame
    found = Choices.read(frame, SOFTMAX)
    np.testing.assert_allclose(found.joint_M, choices.joint_M)
    np.testing.assert_allclose(found.values_MC, choices.values_MC, atol=1e-6)
    assert found.offsets_N.tolist() == [0, 2, 2, 5]


def test_probabilities_are_inverted_no_nearer_to_0_and_1_than_the_floor():
    certain = Choices(np.array([[1.0, 0.0]]), SIGMOID)
    scores = certain.invert(floor=0.01).values_MC
    assert scores[0] == pytest.approx([np.log(0.99 / 0.01), np.log(0.01 / 0.99)])
