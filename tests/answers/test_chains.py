"""Sums over paths are what adding up all paths one by one gives, for rows of any lengths."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.answers.chains import IMPOSSIBLE, Chain, Steps, log_marginals, sum_paths

NUM_LABELS = 3


def random_chain(seed, *, num_labels=NUM_LABELS):
    random = np.random.default_rng(seed)
    transitions_CC = random.normal(size=(num_labels, num_labels)).astype(np.float32)
    transitions_CC[0, 1] = IMPOSSIBLE
    start_C, end_C = random.normal(size=(2, num_labels)).astype(np.float32)
    start_C[2] = IMPOSSIBLE
    return Chain(transitions_CC, start_C, end_C)


def add_up(scores_UC, offsets, chain):
    """Return marginals, expected pairs and the logarithm of the sum, path by path."""
    marginals_UC, pairs_CC, log_total = np.zeros(scores_UC.shape), np.zeros(chain.transitions_CC.shape), 0.0
    for begin, end in itertools.pairwise(offsets):
        if begin == end:
            continue
        paths = list(itertools.product(range(scores_UC.shape[1]), repeat=end - begin))
        logs = np.array(
            [
                scores_UC[np.arange(begin, end), path].sum(dtype=np.float64)
                + sum(float(chain.transitions_CC[pair]) for pair in itertools.pairwise(path))
                + float(chain.start_C[path[0]])
                + float(chain.end_C[path[-1]])
                for path in paths
            ]
        )
        log_total += np.logaddexp.reduce(logs)
        for path, share in zip(paths, np.exp(logs - np.logaddexp.reduce(logs)), strict=True):
            marginals_UC[np.arange(begin, end), path] += share
            for pair in itertools.pairwise(path):
                pairs_CC[pair] += share
    return marginals_UC, pairs_CC, log_total


def softmax(scores_UC):
    weights = np.exp(scores_UC - scores_UC.max(axis=1, keepdims=True, initial=-np.inf))
    return weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=5), st.integers(0, 1000))
def test_sums_over_paths_are_what_adding_up_every_path_gives(lengths, seed):
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    scores_UC = np.random.default_rng(seed).normal(0, 3, size=(offsets[-1], NUM_LABELS)).astype(np.float32)
    chain, steps = random_chain(seed), Steps.of(offsets)
    marginals_UC, pairs_CC, log_total = add_up(scores_UC, offsets, chain)
    sums = sum_paths(scores_UC, steps, chain)
    np.testing.assert_allclose(sums.marginals_UC, marginals_UC, atol=1e-5)
    np.testing.assert_allclose(sums.pairs_CC, pairs_CC, atol=1e-5)
    assert sums.log_total == pytest.approx(log_total, abs=1e-3)
    found_UC = log_marginals(scores_UC, steps, chain)
    assert found_UC.dtype == np.float32
    np.testing.assert_allclose(softmax(found_UC), marginals_UC, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=8))
def test_the_mirror_turns_every_row_around_and_what_is_before_is_the_neighbor(lengths):
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    steps = Steps.of(offsets)
    row_U = np.repeat(np.arange(len(lengths)), lengths)
    for unit, mirrored in zip(steps.units_U, steps.units_U[steps.mirror_U], strict=True):
        assert unit - offsets[row_U[unit]] == offsets[row_U[unit] + 1] - 1 - mirrored
    later = steps.units_U[len(steps.units_U) - len(steps.before_U) :]
    np.testing.assert_array_equal(steps.units_U[steps.before_U], later - 1)
    np.testing.assert_array_equal(row_U[later], row_U[later - 1])
    assert len(later) == sum(max(length - 1, 0) for length in lengths)


def test_whatever_the_units_say_the_scores_are_finite():
    scores_UC = np.array([[300, -300], [-300, 300], [300, -300], [0, 0]], dtype=np.float32)
    nothing = np.full((2, 2), IMPOSSIBLE)
    chain = Chain(nothing, np.full(2, IMPOSSIBLE), np.full(2, IMPOSSIBLE))
    steps = Steps.of(np.array([0, 4]))
    assert np.isfinite(log_marginals(scores_UC, steps, chain)).all()
    sums = sum_paths(scores_UC, steps, chain)
    assert np.isfinite(sums.log_total)
    np.testing.assert_allclose(sums.marginals_UC.sum(axis=1), 1, atol=1e-5)
    assert sums.pairs_CC.sum() == pytest.approx(3, abs=1e-4)


def test_what_may_not_follow_is_as_good_as_never_said():
    scores_UC = np.array([[5, 0], [0, 5]], dtype=np.float32)
    forbidden = np.array([[0, IMPOSSIBLE], [0, 0]], dtype=np.float32)
    none = np.zeros(2, dtype=np.float32)
    sums = sum_paths(scores_UC, Steps.of(np.array([0, 2])), Chain(forbidden, none, none))
    assert sums.pairs_CC[0, 1] < 1e-12
    assert sums.pairs_CC.sum() == pytest.approx(1, abs=1e-5)


def test_sharpness_is_the_power_of_which_the_root_is_taken():
    scores_UC, chain = np.random.default_rng(3).normal(size=(6, 3)).astype(np.float32), random_chain(3)
    offsets = np.array([0, 4, 6])
    powered = Chain(3 * chain.transitions_CC, 3 * chain.start_C, 3 * chain.end_C)
    marginals_UC, _, _ = add_up(3 * scores_UC, offsets, powered)
    expected_UC = marginals_UC ** (1 / 3)
    expected_UC /= expected_UC.sum(axis=1, keepdims=True)
    found_UC = log_marginals(scores_UC, Steps.of(offsets), chain, sharpness=3.0)
    np.testing.assert_allclose(softmax(found_UC), expected_UC, atol=1e-5)


def test_the_sharper_the_more_the_most_probable_labels_are_the_best_path():
    # One by one, the second label is the better first one: two paths of three go through it.
    scores_UC = np.zeros((2, 3), dtype=np.float32)
    transitions_CC = np.array([[0.6, -9, -9], [-9, 0, 0], [-9, -9, -9]], dtype=np.float32)
    chain, steps = Chain(transitions_CC, np.zeros(3, np.float32), np.zeros(3, np.float32)), Steps.of(np.array([0, 2]))
    assert log_marginals(scores_UC, steps, chain)[0].argmax() == 1
    assert log_marginals(scores_UC, steps, chain, sharpness=3.0).argmax(axis=1).tolist() == [0, 0]


def test_a_long_row_neither_vanishes_nor_overflows():
    random = np.random.default_rng(0)
    scores_UC = random.normal(0, 10, size=(20_000, 4)).astype(np.float32)
    chain = Chain(*(random.normal(size=shape).astype(np.float32) for shape in ((4, 4), 4, 4)))
    found_UC = log_marginals(scores_UC, Steps.of(np.array([0, 20_000])), chain)
    assert np.isfinite(found_UC).all()
    # Far from the row's ends only the neighborhood counts.
    near_UC = log_marginals(scores_UC[9_900:10_100], Steps.of(np.array([0, 200])), chain)
    np.testing.assert_allclose(softmax(found_UC[9_990:10_010]), softmax(near_UC[90:110]), atol=1e-4)
