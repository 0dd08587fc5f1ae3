"""Intervals cover, are the same under a seed, and do not depend on the trick that makes them fast."""

import numpy as np
import pytest

from yanmo import metrics
from yanmo.metrics import resampling
from yanmo.metrics.labels import ACCURACY, MACRO_F1, MICRO_F1, WEIGHTED_F1, label_statistics
from yanmo.metrics.measures import resample

MEASURES = (ACCURACY, MACRO_F1, MICRO_F1, WEIGHTED_F1)


def sample(num_rows, num_classes, seed, share_right=0.8):
    generator = np.random.default_rng(seed)
    truth_N = generator.integers(0, num_classes, num_rows)
    answer_N = np.where(generator.random(num_rows) < share_right, truth_N, generator.integers(0, num_classes, num_rows))
    return np.eye(num_classes, dtype=bool)[answer_N], np.eye(num_classes, dtype=np.float32)[truth_N]


def bootstrap(choices, targets_NC, *, num_resamples, seed):
    """The scores of each of K models that chose labels, on resampled rows, by name."""
    statistics = [label_statistics(chosen_NC, targets_NC) for chosen_NC in choices]
    return resample(statistics, MEASURES, num_resamples=num_resamples, seed=seed).scores


def row_by_row(chosen_NC, targets_NC, num_resamples, seed):
    """The textbook bootstrap: draw rows, measure, again and again."""
    generator = np.random.default_rng(seed)
    drawn = [generator.integers(0, len(targets_NC), len(targets_NC)) for _ in range(num_resamples)]
    counts = [metrics.label_counts(chosen_NC[rows], targets_NC[rows]) for rows in drawn]
    return np.array([float(metrics.macro_f1(count)) for count in counts])


@pytest.mark.parametrize("cost", [0, 10**9], ids=["patterns drawn", "rows drawn"])
def test_it_is_the_textbook_bootstrap(monkeypatch, cost):
    chosen_NC, targets_NC = sample(300, 4, 0)
    monkeypatch.setattr(resampling, "MULTINOMIAL_COST", cost)
    monkeypatch.setattr(resampling, "CHUNK_CELLS", 1000)
    (found,) = bootstrap([chosen_NC], targets_NC, num_resamples=3000, seed=1)
    expected_R = row_by_row(chosen_NC, targets_NC, 3000, 2)
    assert found["macro_f1"].shape == (3000,)
    assert found["macro_f1"].mean() == pytest.approx(expected_R.mean(), abs=0.003)
    assert found["macro_f1"].std() == pytest.approx(expected_R.std(), rel=0.08)
    assert metrics.percentile_interval(found["macro_f1"]) == pytest.approx(
        metrics.percentile_interval(expected_R), abs=0.01
    )


def test_the_seed_decides():
    chosen_NC, targets_NC = sample(100, 3, 0)
    runs = [bootstrap([chosen_NC], targets_NC, num_resamples=50, seed=seed)[0] for seed in (1, 1, 2)]
    for name in (one.name for one in MEASURES):
        np.testing.assert_array_equal(runs[0][name], runs[1][name])
    assert (runs[0]["accuracy"] != runs[2]["accuracy"]).any()


def test_the_interval_covers_the_truth_about_19_times_of_20():
    num_covered = 0
    for seed in range(200):
        chosen_NC, targets_NC = sample(400, 2, seed, share_right=0.6)
        (found,) = bootstrap([chosen_NC], targets_NC, num_resamples=400, seed=seed)
        low, high = metrics.percentile_interval(found["accuracy"])
        num_covered += low <= 0.8 <= high
    assert 0.90 <= num_covered / 200 <= 0.99


@pytest.mark.parametrize("cost", [0, 10**9], ids=["patterns drawn", "rows drawn"])
def test_sums_are_those_of_as_many_rows_as_there_are(monkeypatch, cost):
    monkeypatch.setattr(resampling, "MULTINOMIAL_COST", cost)
    monkeypatch.setattr(resampling, "CHUNK_CELLS", 300)
    counts_NS = np.column_stack([np.random.default_rng(0).integers(0, 3, 100), np.ones(100, dtype=np.int64)])
    sums_RS, twice_RS = resampling.resample_statistics([counts_NS, 2 * counts_NS], num_resamples=40, seed=0)
    assert sums_RS.shape == (40, 2)
    assert (sums_RS[:, 1] == 100).all()
    assert len(set(sums_RS[:, 0])) > 10
    np.testing.assert_array_equal(twice_RS, 2 * sums_RS)


@pytest.mark.parametrize("cost", [0, 10**9], ids=["patterns drawn", "rows drawn"])
def test_how_many_are_drawn_at_a_time_changes_nothing(monkeypatch, cost):
    monkeypatch.setattr(resampling, "MULTINOMIAL_COST", cost)
    counts_NS = np.random.default_rng(0).integers(0, 3, (100, 2))
    found = []
    for num_cells in (1, 250, 10**6):
        monkeypatch.setattr(resampling, "CHUNK_CELLS", num_cells)
        (sums_RS,) = resampling.resample_statistics([counts_NS], num_resamples=41, seed=0)
        found.append((sums_RS, resampling.resample_sums(counts_NS.astype(float), num_resamples=41, seed=0)))
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])


def test_models_see_the_same_resamples():
    chosen_NC, targets_NC = sample(200, 3, 0)
    first, second = bootstrap([chosen_NC, chosen_NC.copy()], targets_NC, num_resamples=100, seed=0)
    for name in (one.name for one in MEASURES):
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize(("right", "expected"), [(True, (1.0, 1.0)), (False, (0.0, 0.0))])
def test_one_row_and_all_right_or_wrong_give_a_point(right, expected):
    targets_NC = np.eye(2)[[0]]
    (found,) = bootstrap([targets_NC if right else 1 - targets_NC], targets_NC, num_resamples=100, seed=0)
    assert metrics.percentile_interval(found["accuracy"]) == expected


def test_a_score_that_no_resample_has_gives_no_interval():
    empty_NC = np.zeros((5, 2), bool)
    (found,) = bootstrap([empty_NC], empty_NC, num_resamples=100, seed=0)
    assert metrics.percentile_interval(found["macro_f1"]) is None
    assert metrics.percentile_interval(found["accuracy"]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("num_right", "num_rows", "expected"),
    [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (81, 263, (0.2553, 0.3662)), (1, 1, (0.2065, 1.0))],
)
def test_wilson_is_the_published_value(num_right, num_rows, expected):
    assert metrics.wilson_interval(num_right, num_rows) == pytest.approx(expected, abs=5e-5)
    assert metrics.wilson_interval(0, 0) is None


def test_resampled_sums_have_the_spread_of_sums_and_columns_are_drawn_together(monkeypatch):
    monkeypatch.setattr(resampling, "CHUNK_CELLS", 3000 * 300)
    values_N = np.random.default_rng(0).exponential(size=2000)
    sums_RV = metrics.resample_sums(np.column_stack([values_N, 2 * values_N]), num_resamples=1000, seed=0)
    low, high = metrics.percentile_interval(sums_RV[:, 0] / 2000)
    margin = 1.96 * values_N.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((values_N.mean() - margin, values_N.mean() + margin), abs=0.006)
    np.testing.assert_allclose(sums_RV[:, 1], 2 * sums_RV[:, 0])
