"""Bins and their error, against a plain loop over the definition."""

import math

import numpy as np
import pytest

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.metrics import (
    calibration_bins,
    calibration_gaps,
    calibration_interval,
    expected_calibration_error,
    resample_sums,
)


def by_definition(confidence, right, num_bins=15):
    total = 0.0
    for place in range(num_bins):
        low, high = place / num_bins, (place + 1) / num_bins
        inside = [i for i, value in enumerate(confidence) if low < value <= high or (place == 0 and value == 0)]
        if inside:
            gap = abs(sum(confidence[i] for i in inside) - sum(bool(right[i]) for i in inside))
            total += gap / len(confidence)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_error_is_the_definition(seed):
    generator = np.random.default_rng(seed)
    confidence, right = generator.random(200), generator.random(200) < 0.6
    bins = calibration_bins(confidence, right)
    assert expected_calibration_error(bins) == pytest.approx(by_definition(confidence, right))
    assert (bins.counts.sum(), bins.num_right.sum()) == (200, right.sum())


def test_the_edges_belong_to_the_lower_bin_and_empty_bins_have_no_mean():
    bins = calibration_bins(np.array([0.0, 0.5, 1.0]), np.array([True, False, True]), num_bins=4)
    assert bins.counts.tolist() == [1, 1, 0, 1]
    assert bins.accuracy.tolist() == pytest.approx([1.0, 0.0, math.nan, 1.0], nan_ok=True)
    assert bins.confidence.tolist() == pytest.approx([0.0, 0.5, math.nan, 1.0], nan_ok=True)


def test_one_decision_a_row_or_one_for_each_label():
    probabilities_NC = np.array([[0.7, 0.3], [0.4, 0.6]])
    chosen_NC = probabilities_NC >= 0.5
    targets_NC = np.array([[1, 1], [1, 0]])
    confidence, right = SIGMOID.answers(probabilities_NC, chosen_NC, targets_NC)
    assert (confidence.tolist(), right.tolist()) == ([0.7, 0.7, 0.6, 0.6], [True, False, False, False])
    confidence, right = SOFTMAX.answers(probabilities_NC, chosen_NC, np.eye(2))
    assert (confidence.tolist(), right.tolist()) == ([0.7, 0.6], [True, True])


def test_sure_and_right_has_no_error_and_nothing_has_none():
    assert expected_calibration_error(calibration_bins(np.ones(5), np.ones(5, bool))) == 0.0
    assert expected_calibration_error(calibration_bins(np.ones(5), np.zeros(5, bool))) == 1.0
    assert math.isnan(expected_calibration_error(calibration_bins(np.zeros(0), np.zeros(0, bool))))


def test_gaps_of_rows_sum_to_the_error_also_with_several_decisions_a_row():
    generator = np.random.default_rng(0)
    confidence, right = generator.random(300), generator.random(300) < 0.6
    for num_rows in (300, 100):
        gaps_NB = calibration_gaps(confidence, right, num_rows)
        assert gaps_NB.shape == (num_rows, 15)
        error = np.abs(gaps_NB.sum(axis=0)).sum() / 300
        assert error == pytest.approx(expected_calibration_error(calibration_bins(confidence, right)))
    np.testing.assert_allclose(gaps_NB[7].sum(), (confidence - right)[21:24].sum())


@pytest.mark.parametrize("overconfidence", [0.0, 0.05])
def test_the_interval_covers_the_true_error_at_least_19_times_of_20_or_so(overconfidence):
    """Confidence is uniform over whole bins, so the true error is exactly the overconfidence."""
    num_covered = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        confidence = generator.uniform(1 / 3, 1, 600)
        gaps_NB = calibration_gaps(confidence, generator.random(600) < confidence - overconfidence, 600)
        resampled_RB = resample_sums(gaps_NB, num_resamples=200, seed=seed)
        low, high = calibration_interval(gaps_NB.sum(axis=0) / 600, resampled_RB / 600)
        num_covered += low <= overconfidence <= high
    assert num_covered >= 94


def test_an_interval_is_as_narrow_as_the_rows_allow_and_no_wider_than_all():
    gaps_B, resampled_RB = np.array([0.02, 0.0]), np.array([[0.02, 0.01], [0.04, 0.0], [0.02, 0.0]])
    low, high = calibration_interval(gaps_B, resampled_RB)
    assert 0.0 <= low < 0.02
    assert 0.02 < high < 0.05
    assert calibration_interval(np.array([0.99]), np.array([[0.5], [0.6], [1.0]]))[1] == 1.0
