"""The exact test equals the binomial one, and the paired interval is tighter than two single ones."""

import numpy as np
import pytest
from scipy.stats import binomtest

from yanmo import metrics


def rows(only_first, only_second, both=5, neither=3):
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    return np.array(first), np.array(second)


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (0, 6), (3, 9), (7, 7), (40, 61), (2000, 2210), (90000, 90500)])
def test_mcnemar_is_the_exact_binomial_test(counts):
    found = metrics.mcnemar(*rows(*counts))
    expected = binomtest(counts[0], sum(counts), 0.5).pvalue if sum(counts) else 1.0
    assert found[:2] == counts
    assert found.p_value == pytest.approx(expected, rel=1e-6)


def test_the_paired_interval_knows_that_the_rows_are_the_same():
    generator = np.random.default_rng(0)
    targets_NC = np.eye(2)[generator.integers(0, 2, 2000)].astype(bool)
    flips_N = generator.random(2000) < 0.3
    first_NC = targets_NC ^ flips_N[:, None]
    second_NC = first_NC.copy()
    second_NC[np.flatnonzero(~flips_N)[:30]] ^= True
    found = metrics.paired_difference(first_NC, second_NC, targets_NC, num_resamples=1000, seed=0)["accuracy"]
    assert found[0] > 0
    assert found == pytest.approx((0.015 - 0.0053, 0.015 + 0.0053), abs=0.002)
    same = metrics.paired_difference(first_NC, first_NC, targets_NC, num_resamples=100, seed=0)
    assert set(same.values()) == {(0.0, 0.0)}
