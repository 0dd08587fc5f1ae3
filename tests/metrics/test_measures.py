"""Scores, intervals and comparisons hold for every measure: less may be better, and rows may hold any numbers."""

import numpy as np
import pytest

from yanmo import metrics
from yanmo.metrics.labels import ACCURACY, MACRO_F1, MICRO_F1, WEIGHTED_F1, label_statistics, right_rows
from yanmo.metrics.language import LANGUAGE_MEASURES
from yanmo.metrics.measures import Measure, compare, measure_with_intervals, resample, shown_measures

LABELS = (ACCURACY, MACRO_F1, MICRO_F1, WEIGHTED_F1)
ERROR = Measure("error", lambda sums: sums[..., 0] / sums[..., 1], "mean error", higher_is_better=False, is_rate=False)


def make_errors(num_rows, seed, scale=1.0):
    """A real number of every row, beside a 1."""
    errors_N = np.random.default_rng(seed).exponential(scale, num_rows)
    return np.column_stack([errors_N, np.ones(num_rows)])


def flipped(num_rows=2000, num_better=30):
    """Statistics of answers and of others that are right in ``num_better`` rows less."""
    generator = np.random.default_rng(0)
    targets_NC = np.eye(2)[generator.integers(0, 2, num_rows)].astype(bool)
    flips_N = generator.random(num_rows) < 0.3
    first_NC = targets_NC ^ flips_N[:, None]
    second_NC = first_NC.copy()
    second_NC[np.flatnonzero(~flips_N)[:num_better]] ^= True
    return label_statistics(first_NC, targets_NC), label_statistics(second_NC, targets_NC)


def test_the_paired_interval_knows_that_the_rows_are_the_same():
    first_NS, second_NS = flipped()
    found = compare(first_NS, second_NS, LABELS, num_resamples=1000, seed=0)["accuracy"]
    assert found.interval[0] > 0
    assert found.interval == pytest.approx((0.015 - 0.0053, 0.015 + 0.0053), abs=0.002)
    same = compare(first_NS, first_NS, LABELS, num_resamples=100, seed=0)
    assert {one.interval for one in same.values()} == {(0.0, 0.0)}
    assert list(same) == ["accuracy", "macro_f1", "micro_f1", "weighted_f1"]


def test_a_drop_is_what_is_lost_of_what_should_be_large():
    better_NS, worse_NS = flipped()
    gained, lost = (
        compare(*pair, (ACCURACY,), num_resamples=500, seed=0)["accuracy"]
        for pair in ((better_NS, worse_NS), (worse_NS, better_NS))
    )
    assert (gained.ours, gained.theirs) == (lost.theirs, lost.ours)
    assert gained.difference == pytest.approx(0.015)
    assert gained.drop == -gained.difference
    assert lost.drop == pytest.approx(0.015)
    assert lost.drop_interval == (-lost.interval[1], -lost.interval[0])
    assert lost.drop_interval[0] < lost.drop < lost.drop_interval[1]
    assert gained.num_rows == 2000


def test_a_drop_is_what_is_added_to_what_should_be_small():
    worse_NS, better_NS = make_errors(500, 0, scale=2.0), make_errors(500, 0)
    lost = compare(worse_NS, better_NS, (ERROR,), num_resamples=500, seed=0)["error"]
    assert lost.ours == pytest.approx(2 * lost.theirs)
    assert lost.drop == lost.difference > 0
    assert lost.drop_interval == lost.interval
    assert 0 < lost.drop_interval[0] < lost.drop < lost.drop_interval[1]
    gained = compare(better_NS, worse_NS, (ERROR,), num_resamples=500, seed=0)["error"]
    assert gained.drop == -lost.drop
    assert ERROR.gain(gained.ours) > ERROR.gain(gained.theirs)
    assert ACCURACY.gain(0.25) == 0.25


def test_no_loss_is_no_negative_zero():
    first_NS, _ = flipped()
    errors_NS = make_errors(50, 0)
    for rows_NS, one in ((first_NS, ACCURACY), (errors_NS, ERROR)):
        found = compare(rows_NS, rows_NS, (one,), num_resamples=20, seed=0)[one.name]
        assert [str(value) for value in (found.drop, *found.drop_interval)] == ["0.0"] * 3


def test_rows_of_any_numbers_are_resampled_as_the_rows_they_are():
    values_NS = make_errors(400, 0)
    found = measure_with_intervals(values_NS, (ERROR,), num_resamples=2000, seed=0)["error"]
    values_N = values_NS[:, 0]
    margin = 1.96 * values_N.std() / np.sqrt(400)
    assert found.value == pytest.approx(values_N.mean())
    assert found.interval == pytest.approx((values_N.mean() - margin, values_N.mean() + margin), abs=0.02)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_yes_and_no_give_the_same_scores_as_ones_and_zeros(dtype):
    rows_NS, _ = flipped(200)
    expected, found = (
        measure_with_intervals(one, LABELS, num_resamples=1000, seed=0) for one in (rows_NS, rows_NS.astype(dtype))
    )
    for name in expected:
        assert found[name].value == expected[name].value
        assert found[name].interval == pytest.approx(expected[name].interval, abs=0.02)


def test_rows_that_are_alike_in_one_model_and_not_in_the_other_are_drawn_apart():
    alike_NS = np.ones((300, 2))
    found = compare(make_errors(300, 0), alike_NS, (ERROR,), num_resamples=500, seed=0)["error"]
    single = measure_with_intervals(make_errors(300, 0), (ERROR,), num_resamples=500, seed=0)["error"]
    assert found.interval == pytest.approx([end - 1 for end in single.interval], abs=1e-9)


def test_a_share_of_rows_has_the_interval_of_wilson_and_other_scores_that_of_the_bootstrap():
    rows_NS, _ = flipped(200)
    found = measure_with_intervals(rows_NS, LABELS, num_resamples=300, seed=5)
    (resampled,) = resample([rows_NS], LABELS, num_resamples=300, seed=5).scores
    num_right = int(right_rows(rows_NS).sum())
    assert found["accuracy"].interval == metrics.wilson_interval(num_right, 200)
    assert found["macro_f1"].interval == metrics.percentile_interval(resampled["macro_f1"])
    assert found["macro_f1"].interval != found["accuracy"].interval


def test_a_score_that_no_row_has_is_none_and_has_no_interval_and_no_drop():
    empty_NS = label_statistics(np.zeros((5, 2), bool), np.zeros((5, 2), bool))
    found = measure_with_intervals(empty_NS, LABELS, num_resamples=50, seed=0)
    assert np.isnan(found["macro_f1"].value)
    assert found["macro_f1"].interval is None
    assert found["accuracy"].value == 1.0
    against = compare(empty_NS, empty_NS, (MACRO_F1,), num_resamples=50, seed=0)["macro_f1"]
    assert against.interval is None
    assert np.isnan([against.drop, *against.drop_interval]).all()


def test_a_score_is_shown_in_percent_where_it_is_a_rate_and_described_for_a_report():
    assert ACCURACY.show(0.98765) == "98.77 %"
    assert ERROR.show(1.23456) == "1.2346"
    assert ERROR.describe() == {"name": "error", "title": "mean error", "higher_is_better": False, "is_rate": False}
    assert ACCURACY.describe() == {"name": "accuracy", "title": "accuracy", "higher_is_better": True, "is_rate": True}


def test_a_comparison_shows_the_headline_shares_and_what_stands_beside_it():
    def made(name, **kinds):
        return Measure(name, lambda sums: sums[..., 0], name, **kinds)

    first, share, second, other = made("a"), made("b", is_share=True), made("c", is_second=True), made("d")
    assert shown_measures([first, share, second, other]) == [first, share, second]


def test_fewer_bits_and_less_perplexity_are_better():
    assert [one.higher_is_better for one in LANGUAGE_MEASURES] == [False] * 4
