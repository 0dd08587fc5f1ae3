"""Averages, votes, weights and greedy selection: what the definition says, and never out of range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.answers.pointers import Pointers
from yanmo.combine import greedy, weighting
from yanmo.combine.averaging import BLOCK_ROWS, average, equal_weights
from yanmo.combine.ensembling import Ensembler
from yanmo.combine.greedy import greedy_weights
from yanmo.combine.log_linear import log_average, log_linear_weights
from yanmo.combine.voting import vote
from yanmo.combine.weighting import MAX_DECISIONS, log_loss_weights, score_weights, truth_probabilities
from yanmo.tasks import get_task

SINGLE, MULTI = get_task("single_label"), get_task("multi_label")


def make_members(num_members, num_rows, num_classes, seed=0, skill=None):
    """Members that lean to the truth, each with its own skill and its own errors."""
    generator = np.random.default_rng(seed)
    targets_NC = np.eye(num_classes, dtype=np.float32)[generator.integers(0, num_classes, num_rows)]
    skills = skill or [1.0 + 0.5 * place for place in range(num_members)]
    members = []
    for one in skills:
        scores_NC = generator.normal(size=(num_rows, num_classes)) + one * targets_NC
        members.append(SOFTMAX.activate(scores_NC.astype(np.float32)))
    return members, targets_NC


def as_choices(values_NC):
    return Choices(values_NC, SOFTMAX)


def test_an_average_is_the_mean_in_every_block():
    members, _ = make_members(3, 2 * BLOCK_ROWS + 7, 4)
    weights = [0.5, 0.3, 0.2]
    expected_NC = sum(weight * member.astype(np.float64) for weight, member in zip(weights, members, strict=True))
    found_NC = average((as_choices(one) for one in members), weights).values_MC
    assert found_NC.dtype == np.float32
    np.testing.assert_allclose(found_NC, expected_NC, atol=1e-6)
    equal = average([as_choices(one) for one in members], equal_weights(3))
    np.testing.assert_allclose(equal.values_MC, np.mean(members, axis=0), atol=1e-6)


@given(seed=st.integers(0, 10_000), num_members=st.integers(2, 6), num_classes=st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_a_vote_goes_to_most_voters_and_ties_to_the_greater_mean(seed, num_members, num_classes):
    members, _ = make_members(num_members, 50, num_classes, seed, skill=[0.5] * num_members)
    shares_NC = vote([as_choices(one) for one in members], num_members, SINGLE.ballots).values_MC
    votes_NC = sum(SINGLE.choose(member).astype(int) for member in members)
    means_NC = np.mean(np.stack(members).astype(np.float64), axis=0)
    np.testing.assert_allclose(shares_NC.sum(axis=1), 1, atol=1e-5)
    for shares, votes, means in zip(shares_NC, votes_NC, means_NC, strict=True):
        best = np.flatnonzero(votes == votes.max())
        assert shares.argmax() == best[means[best].argmax()]


@given(seed=st.integers(0, 10_000), num_members=st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_with_many_labels_each_is_voted_for_alone(seed, num_members):
    members = [np.random.default_rng(seed + place).random((30, 3), np.float32) for place in range(num_members)]
    votes_NC = sum((member >= 0.5).astype(int) for member in members)
    means_NC = np.mean(np.stack(members).astype(np.float64), axis=0)
    expected_NC = np.where(2 * votes_NC == num_members, means_NC >= 0.5, 2 * votes_NC > num_members)
    found = vote([Choices(one, SIGMOID) for one in members], num_members, MULTI.ballots)
    assert np.array_equal(found.values_MC >= 0.5, expected_NC)


def test_weights_by_score_are_in_proportion():
    assert score_weights([0.9, 0.6]) == pytest.approx([0.6, 0.4])
    assert score_weights([0.0, 0.0]) == [0.5, 0.5]


def test_log_loss_weights_beat_every_other_mixture():
    members, targets_NC = make_members(4, 3000, 3, skill=[0.2, 1.0, 2.0, 1.9])
    truth_KM = truth_probabilities([as_choices(one) for one in members], targets_NC, SINGLE)
    weights = np.array(log_loss_weights(truth_KM))
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
    best = -np.log(weights @ truth_KM).mean()
    for other in np.random.default_rng(1).dirichlet(np.ones(4), 500):
        assert best <= -np.log(other @ truth_KM).mean() + 2e-4
    assert weights[0] < 0.05


def test_of_few_decisions_all_count():
    truth_KM = np.tile(np.array([[0.9, 0.1], [0.1, 0.9]], np.float32), 10)
    assert log_loss_weights(truth_KM) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(("most", "expected"), [(30, 0.5), (29, 1.0), (15, 1.0), (14, 0.5)])
def test_of_many_decisions_evenly_spread_ones_count(most, expected, monkeypatch):
    monkeypatch.setattr(weighting, "MAX_DECISIONS", most)
    # Every second decision is the first member's: with steps of two there are no others.
    truth_KM = np.full((2, 30), 1e-3, np.float32)
    is_first_M = np.arange(30) % 2 == 0
    truth_KM[0, is_first_M] = truth_KM[1, ~is_first_M] = 0.9
    assert log_loss_weights(truth_KM)[0] == pytest.approx(expected, abs=0.01)


def test_a_member_that_knows_nothing_gets_nothing_and_a_lone_good_one_all():
    members, targets_NC = make_members(1, 2000, 3, skill=[3.0])
    noise_NC = np.full_like(members[0], 1 / 3)
    truth_KM = truth_probabilities([as_choices(noise_NC), as_choices(members[0])], targets_NC, SINGLE)
    assert log_loss_weights(truth_KM)[1] > 0.95
    assert greedy_weights(truth_KM, seed=0)[1] > 0.9


def test_many_decisions_are_thinned_evenly():
    members = [np.random.default_rng(place).random((MAX_DECISIONS, 3), np.float32) for place in range(2)]
    targets_NC = (np.random.default_rng(9).random((MAX_DECISIONS, 3)) < 0.5).astype(np.float32)
    truth_KM = truth_probabilities([Choices(one, SIGMOID) for one in members], targets_NC, MULTI)
    expected_NC = np.where(targets_NC == 1, members[1], 1 - members[1])[::3]  # of every label as many answers
    assert truth_KM.shape == (2, expected_NC.size)
    np.testing.assert_allclose(truth_KM[1], np.maximum(expected_NC.ravel(), 1e-7), atol=1e-6)


def test_greedy_selection_is_good_and_repeatable():
    members, targets_NC = make_members(5, 4000, 3, skill=[0.1, 1.5, 1.5, 1.5, 0.1])
    truth_KM = truth_probabilities([as_choices(one) for one in members], targets_NC, SINGLE)
    weights = greedy_weights(truth_KM, seed=3)
    assert weights == greedy_weights(truth_KM, seed=3)
    assert sum(weights) == pytest.approx(1)
    assert weights[0] + weights[4] < 0.25
    held, held_targets_NC = make_members(5, 4000, 3, seed=1, skill=[0.1, 1.5, 1.5, 1.5, 0.1])
    right = [float((one.argmax(1) == held_targets_NC.argmax(1)).mean()) for one in held]
    whole = SINGLE.right_N(average([as_choices(one) for one in held], weights), held_targets_NC).mean()
    assert whole > max(right) + 0.02


def test_weights_alone_are_those_of_a_mean():
    members, _ = make_members(2, 50, 3)
    found = Ensembler(2, weights_K=[0.7, 0.3]).combine([Choices(one, SOFTMAX) for one in members], SINGLE)
    np.testing.assert_allclose(found.values_MC, 0.7 * members[0] + 0.3 * members[1], atol=1e-6)


def test_greedy_selection_asks_twenty_bags_of_half_of_the_members():
    truth_KM = np.full((5, 100), 1e-6, np.float32)
    truth_KM[2] = 0.9
    # A bag with the good one takes nothing else, one without it some other: the shares are numbers of bags.
    weights_K = np.array(greedy_weights(truth_KM, seed=3))
    np.testing.assert_allclose(20 * weights_K, np.round(20 * weights_K), atol=1e-9)
    assert 0.3 < weights_K[2] < 0.9  # three of five members are in a bag


def test_of_the_rounds_of_a_selection_the_best_counts():
    assert greedy._select(np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)).tolist() == [1, 1]
    assert greedy._select(np.array([[0.9, 0.9], [0.1, 0.9]], np.float32))[1] == 0


def test_a_mean_without_weights_is_of_equal_parts():
    members, _ = make_members(3, 50, 3)
    found = Ensembler(3).combine([Choices(one, SOFTMAX) for one in members], SINGLE)
    np.testing.assert_allclose(found.values_MC, np.mean(members, axis=0), atol=1e-6)


def test_a_log_linear_pool_is_a_product_of_powers_in_every_block():
    members, _ = make_members(2, BLOCK_ROWS + 7, 3)
    product_NC = members[0].astype(np.float64) ** 0.7 * members[1].astype(np.float64) ** 0.5
    expected_NC = product_NC / product_NC.sum(axis=1, keepdims=True)
    pool = Ensembler(2, weights_K=[0.7, 0.5], is_log=True)
    found = pool.combine((Choices(one, SOFTMAX) for one in members), SINGLE)
    np.testing.assert_allclose(found.values_MC, expected_NC, atol=1e-5)
    many = [np.array([[0.2, 0.9]], np.float32), np.array([[0.6, 0.5]], np.float32)]
    odds = [(0.2 / 0.8) ** 0.7 * (0.6 / 0.4) ** 0.5, 9**0.7]
    expected = [one / (1 + one) for one in odds]
    found = pool.combine([Choices(one, SIGMOID) for one in many], MULTI)
    np.testing.assert_allclose(found.values_MC, [expected], atol=1e-5)


def test_no_member_of_a_pool_rules_a_label_out_alone_but_all_of_them_do():
    members = [np.array([[0.0, 1.0, 0.0]], np.float32), *[np.array([[0.999, 0.001, 0.0]], np.float32)] * 3]
    assert log_average([as_choices(one) for one in members], [1.0] * 4).activate().values_MC[0, 0] > 0.9
    assert log_average([as_choices(one) for one in members], [1.0] * 4).activate().values_MC[0, 2] == 0


@pytest.mark.parametrize("task", [SINGLE, MULTI])
def test_log_linear_weights_beat_every_other_pool(task):
    values, targets_NC = make_members(3, 3000, 3, skill=[0.2, 1.5, 2.0])
    members = [Choices(one, task.link) for one in values]

    def loss(weights):
        return task.losses_N(log_average(members, weights).activate(), targets_NC).mean()

    weights = log_linear_weights(members, targets_NC, task)
    assert min(weights) >= 0
    for other in np.random.default_rng(1).uniform(0, 2, (200, 3)):
        assert loss(weights) <= loss(other) + 1e-6


def test_the_same_member_twice_shares_its_weight_and_an_unsure_one_is_made_sure():
    members, targets_NC = make_members(1, 4000, 4, skill=[2.0])
    unsure = as_choices(SOFTMAX.activate(np.log(members[0]) / 4))
    (weight,) = log_linear_weights([unsure], targets_NC, SINGLE)
    assert weight > 3
    twice = log_linear_weights([unsure, unsure], targets_NC, SINGLE)
    assert sum(twice) == pytest.approx(weight, rel=0.01)


def test_an_ensemble_without_a_member_scales_the_rest_up():
    whole = Ensembler(3, weights_K=[0.5, 0.3, 0.2])
    assert whole.without(0).weights_K == pytest.approx([0.6, 0.4])
    assert Ensembler(3).without(1).num_members == 2
    assert Ensembler(2, weights_K=[1.0, 0.0]).without(0) is None
    assert Ensembler(2, is_vote=True).without(0).is_vote
    pool = Ensembler(3, weights_K=[0.9, 0.6, 0.3], is_log=True).without(2)
    assert pool.is_log
    assert pool.weights_K == pytest.approx([1.08, 0.72])


def pointers(*rows):
    """Decisions of one row each, probabilities or scores."""
    cells = np.cumsum([0, *map(len, rows)])
    return Pointers(np.concatenate(rows).astype(np.float32), cells, np.arange(len(rows) + 1))


def test_pointers_are_averaged_pooled_and_voted_for_cell_by_cell():
    members = [pointers([0.8, 0.2], [0.5, 0.0, 0.5]), pointers([0.4, 0.6], [0.1, 0.0, 0.9])]
    mean = Ensembler(2).combine(members, SINGLE)
    assert mean.values_K.tolist() == pytest.approx([0.6, 0.4, 0.3, 0, 0.7])
    pooled = Ensembler(2, weights_K=[1.0, 1.0], is_log=True).combine(members, SINGLE)
    assert pooled.values_K.tolist() == pytest.approx([0.32 / 0.44, 0.12 / 0.44, 0.1, 0, 0.9], abs=1e-5)
    ballots = {id(members[0]): pointers([1, 0], [1, 0, 0]), id(members[1]): pointers([0, 1], [0, 0, 1])}
    voted = vote(members, 2, lambda one: ballots[id(one)])
    assert voted.values_K.tolist() == pytest.approx([1.6 / 3, 1.4 / 3, 1.3 / 3, 0, 1.7 / 3])


def test_greedy_selection_of_a_single_decision():
    assert greedy_weights(np.array([[0.9], [0.2]], dtype=np.float32), seed=0)[0] > 0.9
