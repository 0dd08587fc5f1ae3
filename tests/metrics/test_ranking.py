"""The area under the ROC curve equals scikit-learn's, ties included, and its interval covers as it says."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.metrics import roc_auc


def sample(num_rows, num_classes, seed, digits=None):
    generator = np.random.default_rng(seed)
    truth_N = np.concatenate((np.arange(num_classes), generator.integers(0, num_classes, num_rows - num_classes)))
    scores_NC = generator.random((num_rows, num_classes)) + 0.4 * np.eye(num_classes)[truth_N]
    scores_NC /= scores_NC.sum(axis=1, keepdims=True)
    return (scores_NC if digits is None else scores_NC.round(digits)), truth_N


@pytest.mark.parametrize("digits", [None, 1])
@pytest.mark.parametrize("seed", range(3))
def test_binary_area_is_that_of_the_second_label(seed, digits):
    scores_NC, truth_N = sample(80, 2, seed, digits)
    found = roc_auc(scores_NC, np.eye(2)[truth_N], SOFTMAX)
    assert found.area == pytest.approx(roc_auc_score(truth_N, scores_NC[:, 1]))
    assert 0 <= found.interval[0] <= found.area <= found.interval[1] <= 1


@pytest.mark.parametrize("seed", range(3))
def test_many_labels_give_the_mean_of_one_against_the_rest(seed):
    scores_NC, truth_N = sample(90, 5, seed)
    expected = roc_auc_score(truth_N, scores_NC, multi_class="ovr", average="macro")
    assert roc_auc(scores_NC, np.eye(5)[truth_N], SOFTMAX).area == pytest.approx(expected)


def test_multi_label_area_is_the_mean_over_labels():
    generator = np.random.default_rng(0)
    targets_NC, scores_NC = generator.random((60, 4)) < 0.4, generator.random((60, 4)).round(1)
    expected = roc_auc_score(targets_NC, scores_NC, average="macro")
    assert roc_auc(scores_NC, targets_NC, SIGMOID).area == pytest.approx(expected)


def test_of_two_labels_the_second_counts_only_where_they_exclude_each_other():
    scores_NC, targets_NC = np.array([[1.0, 1], [0, 2], [0, 3], [1, 4]]), np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    first, second = (roc_auc_score(targets_NC[:, column], scores_NC[:, column]) for column in (0, 1))
    assert first != second
    assert roc_auc(scores_NC, targets_NC, SOFTMAX).area == pytest.approx(second)
    assert roc_auc(scores_NC, targets_NC, SIGMOID).area == pytest.approx((first + second) / 2)


def test_an_interval_ends_at_0_and_1():
    score_N, targets_NC = np.array([1.0, 2, 4, 3, 5, 6]), np.eye(2)[[0, 0, 0, 1, 1, 1]]
    assert roc_auc(np.column_stack((-score_N, score_N)), targets_NC, SOFTMAX).interval[1] == 1.0
    assert roc_auc(np.column_stack((score_N, -score_N)), targets_NC, SOFTMAX).interval[0] == 0.0


def test_it_is_not_defined_where_a_class_is_absent():
    scores_NC, truth_N = sample(30, 3, 0)
    assert roc_auc(scores_NC, np.eye(3)[np.minimum(truth_N, 1)], SOFTMAX) is None
    assert roc_auc(scores_NC[:1], np.eye(3)[truth_N[:1]], SOFTMAX) is None
    assert roc_auc(scores_NC[:0], np.eye(3)[truth_N[:0]], SOFTMAX) is None
    assert roc_auc(np.ones((3, 2)), np.eye(2)[[0, 0, 0]], link=SOFTMAX) is None


def test_the_interval_covers_the_true_area_about_19_times_of_20():
    generator = np.random.default_rng(1)
    truth_N = np.repeat([0, 1], 60)
    true_area, num_covered = 0.7602499389065233, 0
    for _ in range(300):
        score_N = generator.normal(size=120) + truth_N
        low, high = roc_auc(np.column_stack((-score_N, score_N)), np.eye(2)[truth_N], link=SOFTMAX).interval
        num_covered += low <= true_area <= high
    assert 0.91 <= num_covered / 300 <= 0.98
