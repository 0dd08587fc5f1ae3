"""Weights by what is answered rightly: better than equal ones, or equal ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.combine.right_weights import right_weights


def answers(scores_KN):
    """Rows that are right where the weighted sum of what members say for them is above 0."""
    scores_KN = np.asarray(scores_KN, float)
    return lambda weights_K: np.asarray(weights_K) @ scores_KN > 0


def test_a_member_that_is_always_wrong_loses_its_weight():
    right_of = answers([[1.0] * 40, [-3.0] * 40])
    found = right_weights(2, right_of)
    assert right_of(found).all()
    assert found[0] > 0.75
    assert sum(found) == pytest.approx(1)


def test_what_few_rows_say_is_no_reason_to_leave_equal_weights():
    # Other weights win two rows and lose one: that is chance.
    right_of = answers([[1.0] * 30 + [3.0, 3.0, -2.0], [1.0] * 30 + [-4.0, -4.0, 2.5]])
    assert right_weights(2, right_of) == [0.5, 0.5]


def test_of_members_that_are_equally_good_few_get_other_weights():
    found = [right_weights(2, answers(np.random.default_rng(seed).normal(0.4, 1, (2, 300)))) for seed in range(40)]
    # One standard error is reached by chance one time in six.
    assert sum(one != [0.5, 0.5] for one in found) <= 10


@given(st.integers(2, 4), st.integers(0, 10_000))
def test_weights_are_shares_and_never_fewer_rows_are_right(num_members, seed):
    right_of = answers(np.random.default_rng(seed).normal(size=(num_members, 30)))
    found = right_weights(num_members, right_of)
    assert min(found) >= 0
    assert sum(found) == pytest.approx(1)
    assert right_of(found).sum() >= right_of([1 / num_members] * num_members).sum()
