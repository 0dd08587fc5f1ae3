"""McNemar's exact test equals the binomial one."""

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
