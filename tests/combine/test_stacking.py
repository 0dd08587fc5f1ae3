"""Fitted stackers: sums over members, and trees, one after the other or one for each label."""

import numpy as np
import pytest

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.combine.stacking import LightgbmStacker, LinearStacker, stacking_features
from yanmo.modeling.runs.stackers import fit_lightgbm

MEMBERS = [np.array([[0.5, 0.5], [0.9, 0.1]], np.float32), np.array([[0.2, 0.8], [1.0, 0.0]], np.float32)]


def test_members_are_read_as_log_probabilities_not_below_one_in_a_million():
    np.testing.assert_allclose(stacking_features(MEMBERS[1]), np.log([[0.2, 0.8], [1, 1e-6]]), rtol=1e-6)


def test_scores_are_the_sum_over_members_and_the_intercepts():
    coefficients_KCC = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], np.float32)
    stacker = LinearStacker(coefficients_KCC, np.array([0.5, -0.5], np.float32))
    logs = [np.log(np.maximum(member, 1e-6)) for member in MEMBERS]
    expected_NC = np.add(logs[0] @ coefficients_KCC[0] + logs[1] @ coefficients_KCC[1], [0.5, -0.5])
    np.testing.assert_allclose(stacker.logits(iter(MEMBERS)), expected_NC, rtol=1e-5)
    with pytest.raises(ValueError, match="needs a member"):
        LinearStacker(coefficients_KCC[:0], np.zeros(2, np.float32)).logits([])


@pytest.mark.extra("lightgbm")
@pytest.mark.parametrize(("link", "num_classes"), [(SOFTMAX, 2), (SOFTMAX, 3), (SIGMOID, 3)])
def test_trees_answer_what_lightgbm_answers(link, num_classes):
    import lightgbm

    generator = np.random.default_rng(0)
    targets_NC = np.eye(num_classes, dtype=np.float32)[generator.integers(0, num_classes, 300)]
    members = [link.activate((generator.normal(size=targets_NC.shape) + 2 * targets_NC).astype(np.float32))] * 2
    models = fit_lightgbm(members, targets_NC, link, seed=0, num_threads=1)
    features_NF = np.concatenate([stacking_features(member) for member in members], axis=1)
    answers = [lightgbm.Booster(model_str=model).predict(features_NF) for model in models]
    found_NC = link.activate(LightgbmStacker(models).logits(iter(members)))
    if link is SOFTMAX and num_classes == 2:
        np.testing.assert_allclose(found_NC[:, 1], answers[0], atol=1e-6)
    else:
        np.testing.assert_allclose(found_NC, answers[0] if link is SOFTMAX else np.stack(answers, axis=1), atol=1e-6)
    assert found_NC.dtype == np.float32
