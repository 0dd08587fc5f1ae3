"""Every score equals scikit-learn's, the ill cases included; what scikit-learn sets to 0 by decree is NaN here."""

import math

import numpy as np
import pytest
import sklearn.metrics as reference

from yanmo import metrics
from yanmo.answers.links import SIGMOID, SOFTMAX


def single(num_rows, num_classes, seed, missing=()):
    """Random one-hot targets and probabilities that lean to them; the missing classes have no rows."""
    generator = np.random.default_rng(seed)
    present = [place for place in range(num_classes) if place not in missing]
    truth_N = generator.choice(present, num_rows)
    targets_NC = np.eye(num_classes, dtype=np.float32)[truth_N]
    scores_NC = generator.dirichlet(np.ones(num_classes), num_rows) + generator.random((num_rows, 1)) * targets_NC
    probabilities_NC = (scores_NC / scores_NC.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities_NC, np.eye(num_classes, dtype=bool)[probabilities_NC.argmax(axis=1)], targets_NC


def multi(num_rows, num_classes, seed):
    generator = np.random.default_rng(seed)
    targets_NC = (generator.random((num_rows, num_classes)) < 0.3).astype(np.float32)
    noise_NC = generator.random((num_rows, num_classes))
    probabilities_NC = np.clip(0.6 * targets_NC + 0.6 * noise_NC - 0.1, 0, 1).astype(np.float32)
    return probabilities_NC, probabilities_NC >= 0.5, targets_NC


SINGLE = [
    single(200, 2, 0),
    single(300, 5, 1),
    single(50, 10, 2),
    single(60, 4, 3, missing=(2,)),
    single(1, 3, 4),
    single(2, 2, 5),
]


@pytest.mark.parametrize("case", range(len(SINGLE)))
def test_single_label_scores_are_those_of_scikit_learn(case):
    _, chosen_NC, targets_NC = SINGLE[case]
    truth_N, answer_N = targets_NC.argmax(axis=1), chosen_NC.argmax(axis=1)
    labels = list(range(targets_NC.shape[1]))
    counts = metrics.label_counts(chosen_NC, targets_NC)
    assert metrics.accuracy(chosen_NC, targets_NC) == pytest.approx(reference.accuracy_score(truth_N, answer_N))
    for name in ("macro", "micro", "weighted"):
        expected = reference.f1_score(truth_N, answer_N, average=name, zero_division=0.0)
        assert float(getattr(metrics, f"{name}_f1")(counts)) == pytest.approx(expected)
    found = metrics.precision_recall_f1(counts)
    expected = reference.precision_recall_fscore_support(truth_N, answer_N, labels=labels, zero_division=np.nan)
    for ours, theirs in zip(found, expected, strict=False):
        np.testing.assert_allclose(ours, theirs)
    np.testing.assert_array_equal(counts.support, expected[3])
    np.testing.assert_array_equal(
        metrics.confusion_matrix(chosen_NC, targets_NC), reference.confusion_matrix(truth_N, answer_N, labels=labels)
    )


@pytest.mark.parametrize("case", range(len(SINGLE)))
def test_log_loss_is_that_of_scikit_learn(case):
    probabilities_NC, _, targets_NC = SINGLE[case]
    doubles_NC = probabilities_NC.astype(np.float64)
    doubles_NC /= doubles_NC.sum(axis=1, keepdims=True)
    expected = reference.log_loss(targets_NC.argmax(axis=1), doubles_NC, labels=range(targets_NC.shape[1]))
    assert SOFTMAX.log_losses(probabilities_NC, targets_NC).mean() == pytest.approx(expected, rel=1e-5)


def test_log_loss_of_a_sure_mistake_is_finite():
    sure = np.array([[1.0, 0.0]], dtype=np.float32)
    wrong = np.array([[0.0, 1.0]], dtype=np.float32)
    loss = SOFTMAX.log_losses(sure, wrong)[0]
    assert loss == pytest.approx(-math.log(np.finfo(np.float32).eps))
    assert SIGMOID.log_losses(sure, wrong)[0] == pytest.approx(loss)


@pytest.mark.parametrize("seed", range(4))
def test_multi_label_scores_are_those_of_scikit_learn(seed):
    probabilities_NC, chosen_NC, targets_NC = multi(120, 6, seed)
    counts = metrics.label_counts(chosen_NC, targets_NC)
    assert metrics.accuracy(chosen_NC, targets_NC) == pytest.approx(reference.accuracy_score(targets_NC, chosen_NC))
    for name in ("macro", "micro", "weighted"):
        expected = reference.f1_score(targets_NC, chosen_NC, average=name, zero_division=0.0)
        assert float(getattr(metrics, f"{name}_f1")(counts)) == pytest.approx(expected)
    np.testing.assert_allclose(
        metrics.precision_recall_f1(counts)[2],
        reference.f1_score(targets_NC, chosen_NC, average=None, zero_division=np.nan),
    )
    ours = SIGMOID.log_losses(np.clip(probabilities_NC, 1e-6, 1 - 1e-6), targets_NC).mean()
    clipped = np.clip(probabilities_NC, 1e-6, 1 - 1e-6).astype(np.float64)
    losses = [reference.log_loss(targets_NC[:, c], clipped[:, c]) for c in range(6)]
    assert ours == pytest.approx(np.mean(losses), rel=1e-5)


def test_all_right_and_all_wrong():
    targets_NC = np.eye(3)[[0, 1, 2, 0]]
    right = metrics.label_counts(targets_NC, targets_NC)
    wrong_NC = np.roll(targets_NC, 1, axis=1)
    wrong = metrics.label_counts(wrong_NC, targets_NC)
    for average in (metrics.macro_f1, metrics.micro_f1, metrics.weighted_f1):
        assert (float(average(right)), float(average(wrong))) == (1.0, 0.0)
    assert (metrics.accuracy(targets_NC, targets_NC), metrics.accuracy(wrong_NC, targets_NC)) == (1.0, 0.0)


def test_what_has_no_value_is_nan():
    nothing = metrics.label_counts(np.zeros((3, 2), bool), np.zeros((3, 2)))
    assert np.isnan(metrics.macro_f1(nothing))
    assert np.isnan(metrics.micro_f1(nothing))
    assert np.isnan(metrics.weighted_f1(nothing))
    assert math.isnan(metrics.accuracy(np.zeros((0, 2), bool), np.zeros((0, 2))))
