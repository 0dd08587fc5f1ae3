"""Vectors: cut, of length 1, and whole again after a file."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from yanmo.answers.vectors import Vectors, cut_vectors, unit_vectors

VALUES = st_numpy.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 9)),
    # No numbers so small that their squares are none.
    elements=st.integers(-100, 100),
)


@settings(deadline=None)
@given(VALUES, st.integers(1, 12))
def test_what_is_cut_has_length_one_and_the_first_dimensions_directions(values_ND, num_dimensions):
    found_ND = cut_vectors(values_ND, num_dimensions, are_unit=True)
    kept_ND = values_ND[:, :num_dimensions]
    lengths_N = np.linalg.norm(kept_ND.astype(np.float64), axis=1)
    is_long_N = lengths_N > 1e-6
    np.testing.assert_allclose(np.linalg.norm(found_ND[is_long_N], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        found_ND[is_long_N] * lengths_N[is_long_N, None], kept_ND[is_long_N], rtol=1e-3, atol=1e-4
    )
    np.testing.assert_array_equal(cut_vectors(values_ND, num_dimensions, are_unit=False), kept_ND)


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_vectors_that_are_activated_twice_are_the_same(values_ND, are_unit):
    once = Vectors(values_ND, 3, are_unit).activate()
    assert once.distance_N(once.activate()).max() < 1e-5


def test_a_file_of_predictions_and_golden_lists_are_read_alike():
    vectors = Vectors(np.arange(12, dtype=np.float32).reshape(4, 3), 3, are_unit=False)
    frame = pl.DataFrame(vectors.columns())
    assert frame.schema["vector"] == pl.Array(pl.Float32, 3)
    for one in (frame, pl.DataFrame({"vector": frame["vector"].to_list()})):
        np.testing.assert_array_equal(Vectors.read(one).values_ND, vectors.values_ND)


def test_rows_are_gathered_by_their_numbers():
    vectors = Vectors(np.eye(3, dtype=np.float32), 3, are_unit=True)
    rows = [np.array([2, 0]), np.array([1])]
    whole = Vectors.gathered([(one, vectors.take(one)) for one in rows])
    np.testing.assert_array_equal(whole.values_ND, vectors.values_ND)


@pytest.mark.parametrize(("change", "expected"), [(0.0, 0.0), (0.5, 0.5), (np.nan, np.inf)])
def test_a_distance_is_a_share_of_the_others_length(change, expected):
    vectors = Vectors(np.array([[2, 0]], dtype=np.float32), 2, are_unit=False)
    other = vectors.with_parts(vectors.values_ND + np.array([[0, 2 * change]], dtype=np.float32))
    assert other.distance_N(vectors).tolist() == pytest.approx([expected])


def test_vectors_of_another_width_are_infinitely_far():
    ones = Vectors(np.ones((2, 3), dtype=np.float32), 3, are_unit=True)
    assert np.isinf(ones.distance_N(Vectors(np.ones((2, 2), dtype=np.float32), 2, are_unit=True))).all()


def test_a_vector_of_zeros_stays_one():
    assert unit_vectors(np.zeros((1, 2), dtype=np.float32)).tolist() == [[0, 0]]
