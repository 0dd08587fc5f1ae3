"""Sums over paths of second order are what adding up all paths one by one gives, for rows of any lengths."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.answers.chains import IMPOSSIBLE, Steps, log_marginals
from yanmo.answers.second_order import SecondOrderChain

NUM_LABELS = 3
EDGE = NUM_LABELS


def random_chain(seed):
    random = np.random.default_rng(seed)
    moves_PPC = random.normal(size=(NUM_LABELS + 1, NUM_LABELS + 1, NUM_LABELS)).astype(np.float32)
    moves_PPC[:, 0, 1] = IMPOSSIBLE
    return SecondOrderChain(moves_PPC, random.normal(size=(NUM_LABELS + 1, NUM_LABELS)).astype(np.float32))


def path_scores(scores_UC, chain, paths):
    """Return the score of every path of one row."""
    found = []
    for path in paths:
        before = (EDGE, EDGE, *path)
        triples = zip(before, before[1:], path, strict=False)
        moves = sum(float(chain.transitions_PPC[triple]) for triple in triples)
        own = float(scores_UC[np.arange(len(path)), path].sum(dtype=np.float64))
        found.append(own + moves + float(chain.ends_PC[before[-2], before[-1]]))
    return np.array(found)


def add_up(scores_UC, offsets, chain, sharpness):
    """Return the probabilities of every unit's labels, path by path."""
    shares_UC = np.zeros(scores_UC.shape)
    for begin, end in itertools.pairwise(offsets):
        paths = list(itertools.product(range(NUM_LABELS), repeat=end - begin)) if end > begin else []
        if paths:
            logs = path_scores(scores_UC[begin:end], chain, paths) * sharpness
            for path, share in zip(paths, np.exp(logs - np.logaddexp.reduce(logs)), strict=True):
                shares_UC[np.arange(begin, end), path] += share
    rooted_UC = shares_UC ** (1 / sharpness)
    return rooted_UC / rooted_UC.sum(axis=1, keepdims=True)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=5), st.integers(0, 1000), st.sampled_from((1.0, 2.0)))
def test_marginals_are_what_adding_up_every_path_gives(lengths, seed, sharpness):
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    scores_UC = np.random.default_rng(seed).normal(0, 2, size=(offsets[-1], NUM_LABELS)).astype(np.float32)
    chain = random_chain(seed)
    found_UC = np.exp(log_marginals(scores_UC, Steps.of(offsets), chain, sharpness=sharpness))
    assert found_UC.dtype == np.float32
    expected_UC = add_up(scores_UC, offsets, chain, sharpness)
    np.testing.assert_allclose(found_UC / found_UC.sum(axis=1, keepdims=True), expected_UC, atol=1e-4)


def test_in_long_rows_nothing_vanishes():
    random, offsets = np.random.default_rng(0), np.array([0, 3, 3, 3000, 3001, 3200])
    scores_UC, chain = random.normal(0, 5, size=(3200, NUM_LABELS)).astype(np.float32), random_chain(1)
    found_UC = log_marginals(scores_UC, Steps.of(offsets), chain)
    assert np.isfinite(found_UC).all()
    # What is far away does not matter.
    near_UC = log_marginals(scores_UC[1400:1600], Steps.of(np.array([0, 200])), chain)
    np.testing.assert_allclose(np.exp(near_UC[100]), np.exp(found_UC[1500]), atol=1e-4)
