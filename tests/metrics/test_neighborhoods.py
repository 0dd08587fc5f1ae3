"""Rank correlation of similarities, held against scipy's."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from yanmo.answers.vectors import unit_vectors
from yanmo.metrics.neighborhoods import NEIGHBORHOOD_MEASURES, rank_statistics


def vectors(seed, num_rows=30, width=8):
    return unit_vectors(np.random.default_rng(seed).normal(size=(num_rows, width)).astype(np.float32))


def test_it_is_spearmans_of_every_text():
    ours_ND = vectors(0)
    theirs_ND = unit_vectors(ours_ND + 0.5 * vectors(1))
    found_NS = rank_statistics(ours_ND, theirs_ND)
    for row, found in enumerate(found_NS[:, 0]):
        others = np.arange(len(ours_ND)) != row
        expected = spearmanr(ours_ND[others] @ ours_ND[row], theirs_ND[others] @ theirs_ND[row]).statistic
        assert found == pytest.approx(expected, abs=1e-9)
    assert NEIGHBORHOOD_MEASURES[0].score(found_NS) == pytest.approx(found_NS[:, 0].mean())


def test_the_same_vectors_turned_or_cut_agree_as_they_should():
    ours_ND = vectors(2)
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 8)))
    score = NEIGHBORHOOD_MEASURES[0].score
    assert score(rank_statistics(ours_ND, (ours_ND @ turn).astype(np.float32))) > 0.999
    assert score(rank_statistics(ours_ND, vectors(4))) < 0.3


def test_texts_that_are_all_alike_have_no_order_to_differ_in():
    same_ND = np.ones((5, 2), dtype=np.float32)
    assert rank_statistics(same_ND, same_ND)[:, 0].tolist() == [1] * 5
    assert rank_statistics(same_ND[:1], same_ND[:1])[:, 0].tolist() == [1]


def test_texts_that_are_equally_near_share_their_mean_rank():
    ours_ND = unit_vectors(np.array([[1, 0], [1, 1], [1, 1], [1, 2], [0, 1]], dtype=np.float32))
    theirs_ND = unit_vectors(np.array([[1, 0], [2, 1], [1, 3], [1, 1], [1, 2]], dtype=np.float32))
    expected = spearmanr(ours_ND[1:] @ ours_ND[0], theirs_ND[1:] @ theirs_ND[0]).statistic
    assert rank_statistics(ours_ND, theirs_ND)[0, 0] == pytest.approx(expected, abs=1e-6)
