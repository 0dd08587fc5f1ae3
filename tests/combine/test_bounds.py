"""The bounds are those of the beta distribution, and cover as often as they say."""

import numpy as np
import pytest
from scipy import stats

from yanmo.combine.bounds import binomial_tail, lower_bound, num_rows_needed, upper_bound


@pytest.mark.parametrize("num_rows", [1, 7, 300, 20_000])
@pytest.mark.parametrize("delta", [0.05, 0.001, 0.5])
def test_bounds_are_clopper_and_pearsons(num_rows, delta):
    for num_hits in sorted({0, 1, num_rows // 100, num_rows // 2, num_rows - 1, num_rows}):
        if num_hits < num_rows:
            expected = stats.beta.ppf(1 - delta, num_hits + 1, num_rows - num_hits)
            assert upper_bound(num_hits, num_rows, delta) == pytest.approx(expected, rel=1e-6)
        if num_hits:
            expected = stats.beta.ppf(delta, num_hits, num_rows - num_hits + 1)
            assert lower_bound(num_hits, num_rows, delta) == pytest.approx(expected, rel=1e-6)
    assert upper_bound(num_rows, num_rows, delta) == 1.0
    assert lower_bound(0, num_rows, delta) == 0.0


def test_the_tail_is_the_binomials():
    for num_hits in (0, 3, 50, 199, 200):
        expected = stats.binom.cdf(num_hits, 200, 0.1)
        assert binomial_tail(num_hits, 200, 0.1) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("alpha", "delta"), [(0.01, 0.05), (0.1, 0.1), (0.003, 0.01)])
def test_so_many_rows_without_a_hit_are_enough_and_one_fewer_is_not(alpha, delta):
    needed = num_rows_needed(alpha, delta)
    assert upper_bound(0, needed, delta) <= alpha + 1e-12
    assert upper_bound(0, needed - 1, delta) > alpha


def test_the_bound_fails_as_rarely_as_it_says():
    hits = np.random.default_rng(0).binomial(500, 0.02, 4000)
    bounds = {one: upper_bound(one, 500, 0.05) for one in set(hits.tolist())}
    failures = np.mean([bounds[one] < 0.02 for one in hits.tolist()])
    assert failures <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
