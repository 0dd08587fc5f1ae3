import numpy as np
import pytest

from yanmo.answers.links import SIGMOID, SOFTMAX

LINKS = pytest.mark.parametrize("link", [SOFTMAX, SIGMOID], ids=lambda link: link.name)
RANDOM = np.random.default_rng(3)
LOGITS_MC = RANDOM.normal(scale=3, size=(40, 5)).astype(np.float32)
TARGETS_MC = np.eye(5, dtype=np.float32)[RANDOM.integers(0, 5, 40)]


@LINKS
def test_scores_of_probabilities_give_the_probabilities_back(link):
    probabilities_MC = link.activate(LOGITS_MC)
    assert probabilities_MC.dtype == np.float32
    assert np.abs(link.activate(link.invert(probabilities_MC)) - probabilities_MC).max() <= 1e-6


@LINKS
def test_softened_probabilities_are_those_of_divided_scores(link):
    softened_MC = link.soften(link.activate(LOGITS_MC), temperature=2.0)
    assert np.abs(softened_MC - link.activate(LOGITS_MC / 2)).max() <= 1e-3
    same_MC = link.activate(LOGITS_MC)
    assert link.soften(same_MC, temperature=1.0) is same_MC


@LINKS
def test_slopes_are_the_derivatives_of_the_losses(link):
    logits_MC, targets_MC = LOGITS_MC.astype(np.float64), TARGETS_MC.astype(np.float64)
    losses_M, slopes_MC = link.slopes(logits_MC, targets_MC)
    step = 1e-6
    for column in range(5):
        moved_MC = logits_MC.copy()
        moved_MC[:, column] += step
        assert (link.slopes(moved_MC, targets_MC)[0] - losses_M) / step == pytest.approx(slopes_MC[:, column], abs=1e-4)
    answers = link.num_answers(5)
    probabilities_MC = link.activate(LOGITS_MC).astype(np.float64)
    assert link.log_losses(probabilities_MC, TARGETS_MC) * answers == pytest.approx(losses_M, rel=1e-4, abs=1e-5)


@LINKS
def test_an_answer_is_as_sure_as_its_probability_and_nearly_another_where_the_gap_is_small(link):
    probabilities_MC = link.activate(LOGITS_MC)
    chosen_MC = link.invert(probabilities_MC) >= link.invert(probabilities_MC).max(axis=1, keepdims=True)
    confidence_D, right_D = link.answers(probabilities_MC, chosen_MC, TARGETS_MC)
    assert len(confidence_D) == len(right_D) == 40 * link.num_answers(5)
    assert (link.confidence_M(probabilities_MC) >= 0.2).all()
    halves_MC = np.full((1, 2), 0.5, dtype=np.float32)
    assert link.gap_M(halves_MC) == pytest.approx([0.0])
    assert link.confidence_M(np.zeros((0, 3), np.float32)).shape == (0,)


def test_of_many_answers_at_most_so_many_are_kept_evenly_spread():
    probabilities_MC = SIGMOID.activate(LOGITS_MC)
    assert len(SIGMOID.truth(probabilities_MC, TARGETS_MC, most=50)) == 50
    all_D = SIGMOID.truth(probabilities_MC, TARGETS_MC, most=1000)
    every_fourth_MC = all_D.reshape(TARGETS_MC.shape)[::4]
    assert SIGMOID.truth(probabilities_MC, TARGETS_MC, most=50) == pytest.approx(every_fourth_MC.ravel())
    assert SOFTMAX.truth(probabilities_MC, TARGETS_MC, most=50).shape == (40,)


def test_only_labels_that_exclude_each_other_are_normalized():
    ones_MC = np.ones((2, 4), np.float32)
    assert SOFTMAX.normalize(ones_MC).sum(axis=1) == pytest.approx([1.0, 1.0])
    assert SIGMOID.normalize(ones_MC) is ones_MC
