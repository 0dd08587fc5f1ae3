"""Confident learning finds flipped labels, and says how many there are."""

import numpy as np
import pytest

from yanmo.combine.noise import find_suspects, find_suspects_of_many


def make_noisy(num_rows=4000, num_classes=5, share=0.05, seed=0):
    generator = np.random.default_rng(seed)
    truth_N = generator.integers(0, num_classes, num_rows)
    scores_NC = generator.normal(size=(num_rows, num_classes)) + 4 * np.eye(num_classes)[truth_N]
    probabilities_NC = np.exp(scores_NC) / np.exp(scores_NC).sum(axis=1, keepdims=True)
    given_N = truth_N.copy()
    flipped = generator.choice(num_rows, int(share * num_rows), replace=False)
    given_N[flipped] = (given_N[flipped] + generator.integers(1, num_classes, len(flipped))) % num_classes
    return probabilities_NC.astype(np.float32), given_N, truth_N, flipped


def test_flipped_labels_stand_first_with_their_true_label():
    probabilities_NC, given_N, truth_N, flipped = make_noisy()
    found = find_suspects(probabilities_NC, given_N)
    top = found.order_N[: len(flipped)]
    assert len(set(top.tolist()) & set(flipped.tolist())) >= 0.9 * len(flipped)
    assert (found.suggested_N[flipped] == truth_N[flipped]).mean() > 0.9
    assert np.all(np.diff(found.scores_N[found.order_N]) >= 0)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_the_estimated_number_is_near_the_true_one(share):
    probabilities_NC, given_N, _, flipped = make_noisy(share=share)
    assert find_suspects(probabilities_NC, given_N).num_wrong == pytest.approx(len(flipped), abs=0.03 * len(given_N))


def test_the_joint_keeps_the_given_shares_and_names_the_pair():
    probabilities_NC, given_N, truth_N, _ = make_noisy(share=0)
    given_N = np.where((truth_N == 1) & (np.arange(len(truth_N)) % 4 == 0), 2, given_N)
    joint_CC = find_suspects(probabilities_NC, given_N).joint_CC
    np.testing.assert_allclose(joint_CC.sum(axis=1), np.bincount(given_N) / len(given_N), atol=1e-9)
    np.fill_diagonal(joint_CC, 0)
    assert np.unravel_index(joint_CC.argmax(), joint_CC.shape) == (2, 1)


def test_the_joint_of_three_rows_is_that_of_the_paper_by_hand():
    probabilities_NC = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]], np.float32)
    found = find_suspects(probabilities_NC, np.array([0, 0, 1]))
    # Label 0 is believed from (0.9 + 0.1) / 2 on, label 1 from 0.8: the second row is counted as a 1 that was given 0.
    np.testing.assert_allclose(found.joint_CC, [[1 / 3, 1 / 3], [0, 1 / 3]])
    assert found.num_wrong == 1
    assert found.order_N.tolist() == [1, 2, 0]
    assert found.suggested_N.tolist() == [1, 1, 0]
    np.testing.assert_allclose(found.scores_N, [0.8, -0.8, 0.6], atol=1e-6)


def test_a_label_that_no_row_has_breaks_nothing():
    probabilities_NC, given_N, _, _ = make_noisy(num_rows=200)
    given_N = np.where(given_N == 4, 0, given_N)
    found = find_suspects(probabilities_NC, given_N)
    assert np.isfinite(found.scores_N).all()
    assert found.joint_CC[4].sum() == 0


def test_with_many_labels_a_row_is_as_suspicious_as_its_worst_label():
    generator = np.random.default_rng(0)
    truth_NC = generator.random((1000, 3)) < 0.4
    probabilities_NC = np.clip(np.where(truth_NC, 0.85, 0.15) + generator.normal(0, 0.05, truth_NC.shape), 0.01, 0.99)
    given_NC = truth_NC.astype(np.float32)
    flipped = generator.choice(1000, 60, replace=False)
    given_NC[flipped, flipped % 3] = 1 - given_NC[flipped, flipped % 3]
    order_N, scores_N, num_wrong = find_suspects_of_many(probabilities_NC.astype(np.float32), given_NC)
    assert set(order_N[:60].tolist()) == set(flipped.tolist())
    assert scores_N[flipped].max() < 0 < np.delete(scores_N, flipped).min()
    assert 15 <= num_wrong <= 60
