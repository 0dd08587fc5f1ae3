"""Sequences are taken, gathered, written and read as they were, and count what stands behind what is given."""

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from yanmo.answers.sequences import Sequences

VALUES_M = np.array([-1, -2, -3, -4, -5, -6], dtype=np.float32)
ENDS = np.array([0, 3, 3, 6])
PLACES = np.array([[0, 2], [2, 3], [3, 5], [0, 1], [1, 1], [1, 4]])
TEXTS = ["abcde", "", "你们好的"]
WHOLE = Sequences(VALUES_M, ENDS, PLACES, TEXTS)


@pytest.mark.parametrize("rows", [[2, 1, 0], [0, 0], [1], []])
def test_rows_are_taken_in_the_given_order(rows):
    taken = WHOLE.take(np.array(rows, dtype=np.int64))
    assert taken.texts == [TEXTS[row] for row in rows]
    wanted = [VALUES_M[ENDS[row] : ENDS[row + 1]].tolist() for row in rows]
    assert [taken.values_M[start:end].tolist() for start, end in pairwise(taken.ends)] == wanted


def test_pieces_are_gathered_by_their_numbers():
    parts = [(np.array([2, 0]), WHOLE.take(np.array([2, 0]))), (np.array([1]), WHOLE.take(np.array([1])))]
    found = Sequences.gathered(parts)
    assert found.texts == TEXTS
    np.testing.assert_array_equal(found.values_M, VALUES_M)
    np.testing.assert_array_equal(found.places, PLACES)


@pytest.mark.parametrize("through", ["columns", "json"])
def test_they_come_back_from_a_file(through):
    frame = pl.DataFrame(WHOLE.columns())
    if through == "json":
        frame = pl.DataFrame(
            json.loads(json.dumps({name: column.to_list() for name, column in WHOLE.columns().items()}))
        )
    found = Sequences.read(frame)
    assert found.texts == TEXTS
    assert found.ends.tolist() == ENDS.tolist()
    assert found.places.tolist() == PLACES.tolist()
    np.testing.assert_array_equal(found.values_M, VALUES_M)


def test_what_is_given_does_not_count_and_a_token_that_ends_behind_it_does():
    assert WHOLE.sums_N().tolist() == [-6, 0, -15]
    # "cde" counts of the first row: the tokens [2, 3] and [3, 5] end behind its second character.
    assert WHOLE.sums_N(np.array([2, 0, 1])).tolist() == [-5, 0, -6]
    assert WHOLE.sums_N(np.array([1, 0, 0])).tolist() == [-6, 0, -15]


def test_distance_is_the_mean_difference_of_a_token_and_infinite_between_other_tokens():
    other = Sequences(VALUES_M + np.array([0.3, 0, 0, 0, 0, 0], dtype=np.float32), ENDS, PLACES, TEXTS)
    np.testing.assert_allclose(WHOLE.distance_N(other), [0.1, 0, 0], atol=1e-6)
    broken = Sequences(np.where(VALUES_M == -6, np.nan, VALUES_M).astype(np.float32), ENDS, PLACES, TEXTS)
    assert np.isinf(WHOLE.distance_N(broken)[2])
    assert np.isinf(WHOLE.distance_N(Sequences(VALUES_M, ENDS, PLACES + 1, TEXTS))).all()


def test_its_parts_are_probabilities_and_a_token_that_nobody_expects_stays_finite():
    (probabilities_M,) = WHOLE.parts()
    np.testing.assert_allclose(WHOLE.with_parts(probabilities_M).values_M, VALUES_M, rtol=1e-6)
    nobody = WHOLE.with_parts(np.zeros_like(probabilities_M)).values_M
    assert np.isfinite(nobody).all()
    assert (nobody < -80).all()
