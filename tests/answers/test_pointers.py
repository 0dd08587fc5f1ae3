"""Pointers choose among the cells of their own row, and come back from a file as they were."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from yanmo.answers.pointers import Pointers

CELLS = np.array([0, 2, 5, 6, 10])
"""Four decisions over 2, 3, 1 and 4 cells."""
ENDS = np.array([0, 2, 2, 4])
"""Three rows of 2, 0 and 2 decisions."""
VALUES_K = np.random.default_rng(0).normal(size=10).astype(np.float32)
PLACES = np.array([[0, 3], [4, 6], [0, 1], [2, 9]])
BOTH = pytest.mark.parametrize(
    "pointers", [Pointers(VALUES_K, CELLS, ENDS), Pointers(VALUES_K, CELLS, ENDS, PLACES)], ids=["rows", "parts"]
)


def rows_of(pointers):
    """The decisions of every row, each a list of its cells' values."""
    each = [pointers.values_K[start:end].tolist() for start, end in pairwise(pointers.cells.tolist())]
    return [each[start:end] for start, end in pairwise(pointers.ends.tolist())]


@BOTH
@pytest.mark.parametrize("places", [[2, 1, 0], [0, 0], [1], []])
def test_rows_are_taken_in_the_given_order_with_all_their_decisions(pointers, places):
    taken = pointers.take(np.array(places, dtype=np.int64))
    assert len(taken) == len(places)
    assert rows_of(taken) == [rows_of(pointers)[place] for place in places]
    if pointers.places is not None:
        wanted = [PLACES[start:end].tolist() for start, end in pairwise(ENDS.tolist())]
        assert taken.places.tolist() == [pair for place in places for pair in wanted[place]]


def test_probabilities_are_a_softmax_over_the_cells_of_each_decision():
    found = Pointers(VALUES_K, CELLS, ENDS).activate()
    for start, end in pairwise(CELLS.tolist()):
        powers = np.exp(VALUES_K[start:end].astype(np.float64))
        np.testing.assert_allclose(found.values_K[start:end], powers / powers.sum(), rtol=1e-5)
    assert found.values_K.dtype == np.float32


def test_a_forbidden_cell_stays_forbidden_through_probabilities_and_back():
    scores = VALUES_K.copy()
    scores[3] = -np.inf
    probabilities = Pointers(scores, CELLS, ENDS).activate()
    assert probabilities.values_K[3] == 0
    np.testing.assert_allclose(probabilities.invert().activate().values_K, probabilities.values_K, rtol=1e-5)
    assert probabilities.invert().values_K[3] == -np.inf


def test_the_best_cell_is_counted_from_the_first_of_its_decision_and_of_equal_ones_it_is_the_first():
    values_K = np.array([1, 5, 2, 7, 7, 3, 0, 0, 9, 9], dtype=np.float32)
    cell_M, value_M = Pointers(values_K, CELLS, ENDS).best_M()
    assert cell_M.tolist() == [1, 1, 0, 2]
    assert value_M.tolist() == [5, 7, 3, 9]
    assert Pointers(values_K, CELLS, ENDS).at_M(cell_M).tolist() == [5, 7, 3, 9]


def test_nothing_has_no_best_cell_and_no_probabilities():
    nothing = Pointers(VALUES_K, CELLS, ENDS).take(np.array([1]))
    assert len(nothing) == 1
    assert nothing.activate().values_K.tolist() == []
    assert [one.tolist() for one in nothing.best_M()] == [[], []]


@BOTH
def test_a_file_gives_back_what_it_was_given(tmp_path, pointers):
    probabilities = pointers.activate()
    pl.DataFrame(probabilities.columns()).write_parquet(tmp_path / "rows.parquet")
    found = Pointers.read(pl.read_parquet(tmp_path / "rows.parquet"))
    assert rows_of(found) == rows_of(probabilities)
    assert (found.places is None) == (pointers.places is None)
    if pointers.places is not None:
        np.testing.assert_array_equal(found.places, PLACES)
    assert found.distance_N(probabilities).tolist() == [0, 0, 0]


@BOTH
def test_parts_are_gathered_at_their_numbers(pointers):
    parts = [(np.array(rows), pointers.take(np.array(rows))) for rows in ([2, 0], [1])]
    assert rows_of(Pointers.gathered(parts)) == rows_of(pointers)


def test_the_distance_of_rows_is_the_largest_difference_of_their_cells():
    pointers, moved = Pointers(VALUES_K, CELLS, ENDS), VALUES_K.copy()
    moved[4] += 0.5
    moved[9] -= 0.25
    np.testing.assert_allclose(pointers.distance_N(pointers.having(moved)), [0.5, 0, 0.25], atol=1e-6)
    moved[0] = np.nan
    assert pointers.distance_N(pointers.having(moved))[0] == np.inf


def test_rows_of_other_cells_are_infinitely_far():
    other = Pointers(VALUES_K, np.array([0, 3, 5, 6, 10]), ENDS)
    assert Pointers(VALUES_K, CELLS, ENDS).distance_N(other).tolist() == [np.inf] * 3
