"""Stackers learn which member to believe about which label, and answer with numpy what scikit-learn answers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.combine.stacking import LightgbmStacker, stacking_features
from yanmo.modeling.runs.stackers import INVERSE_REGULARIZATION, fit_lightgbm, fit_logistic
from yanmo.tasks import get_task

SINGLE, MULTI = get_task("single_label"), get_task("multi_label")


def make_halves(num_rows, num_classes=4, seed=0):
    """Two members; each knows one half of the labels and guesses among the others."""
    generator = np.random.default_rng(seed)
    truth_N = generator.integers(0, num_classes, num_rows)
    targets_NC = np.eye(num_classes, dtype=np.float32)[truth_N]
    members = []
    for known in (np.arange(num_classes) < 2, np.arange(num_classes) >= 2):
        scores_NC = generator.normal(size=(num_rows, num_classes)) + 2.5 * targets_NC * known
        members.append(SOFTMAX.activate(scores_NC.astype(np.float32)))
    return members, targets_NC


def right(probabilities_NC, targets_NC):
    return float((probabilities_NC.argmax(1) == targets_NC.argmax(1)).mean())


def test_it_learns_whom_to_believe():
    members, targets_NC = make_halves(3000)
    held, held_targets_NC = make_halves(3000, seed=1)
    stacker = fit_logistic(members, targets_NC, SOFTMAX)
    stacked = right(stacker.logits(held), held_targets_NC)
    assert stacked > right(np.mean(held, axis=0), held_targets_NC) + 0.02


@pytest.mark.parametrize("num_classes", [2, 4])
def test_numpy_answers_what_scikit_learn_answers(num_classes):
    members, targets_NC = make_halves(500, num_classes)
    stacker = fit_logistic(members, targets_NC, SOFTMAX)
    features_NF = np.concatenate([stacking_features(one) for one in members], axis=1)
    model = LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=500).fit(features_NF, targets_NC.argmax(axis=1))
    expected_NC = model.predict_proba(features_NF)
    np.testing.assert_allclose(SOFTMAX.activate(stacker.logits(iter(members))), expected_NC, atol=1e-4)


def test_a_label_without_rows_is_never_answered():
    members, targets_NC = make_halves(600)
    kept = targets_NC[:, 3] == 0
    stacker = fit_logistic([one[kept] for one in members], targets_NC[kept], SOFTMAX)
    probabilities_NC = SOFTMAX.activate(stacker.logits(members))
    assert probabilities_NC[:, 3].max() < 1e-6
    assert np.isfinite(probabilities_NC).all()


def test_with_many_labels_each_has_its_own_regression():
    generator = np.random.default_rng(0)
    targets_NC = (generator.random((800, 3)) < 0.4).astype(np.float32)
    targets_NC[:, 2] = 1
    members = [np.clip(targets_NC * 0.6 + generator.random((800, 3)) * 0.4, 0.01, 0.99).astype(np.float32)] * 2
    stacker = fit_logistic(members, targets_NC, SIGMOID)
    assert (MULTI.choose(SIGMOID.activate(stacker.logits(members))) == targets_NC).mean() > 0.97


@pytest.mark.extra("lightgbm")
@pytest.mark.parametrize("absent", [0, 3])
def test_lightgbm_keeps_the_column_of_a_label_without_rows(absent):
    members, targets_NC = make_halves(600)
    kept = targets_NC[:, absent] == 0
    learned = [one[kept] for one in members]
    models = fit_lightgbm(learned, targets_NC[kept], SOFTMAX, seed=0, num_threads=1)
    logits_NC = LightgbmStacker(models).logits(learned)
    assert logits_NC.shape == (kept.sum(), 4)
    assert right(logits_NC, targets_NC[kept]) > 0.8


@pytest.mark.extra("lightgbm")
@pytest.mark.parametrize("num_classes", [2, 4])
def test_lightgbm_comes_back_from_its_text(num_classes):
    members, targets_NC = make_halves(600, num_classes)
    models = fit_lightgbm(members, targets_NC, SOFTMAX, seed=0, num_threads=1)
    assert models == fit_lightgbm(members, targets_NC, SOFTMAX, seed=0, num_threads=1)
    logits_NC = LightgbmStacker(models).logits(members)
    assert logits_NC.shape == targets_NC.shape
    assert right(logits_NC, targets_NC) > 0.8
