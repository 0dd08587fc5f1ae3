"""Embeddings from co-occurrence: alike neighbors give alike rows, scale and zeros as promised, the same every time."""

import numpy as np
import torch

from yanmo.arrays import Ragged
from yanmo.modeling.networks.embeddings import begin_with, ppmi_embeddings, sinusoidal_positions


def ragged(rows):
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Ragged(np.array([token for row in rows for token in row], np.int64), offsets)


def cosine(one_D, other_D):
    return float(one_D @ other_D / (np.linalg.norm(one_D) * np.linalg.norm(other_D)))


TEXTS = ragged([[1, 3, 5], [2, 3, 5], [1, 3, 6], [2, 3, 6], [4, 7, 8], [4, 8, 7]] * 3)


def test_tokens_with_the_same_neighbors_are_alike_and_others_are_not():
    table_VD = ppmi_embeddings(TEXTS, vocab_size=10, size=6, deviation=0.1)
    assert cosine(table_VD[1], table_VD[2]) > 0.9
    assert abs(cosine(table_VD[1], table_VD[4])) < 0.1


def test_scale_zeros_and_repetition():
    table_VD = ppmi_embeddings(TEXTS, vocab_size=10, size=16, deviation=0.25)
    assert table_VD.shape == (10, 16)
    assert table_VD.dtype == np.float32
    assert not table_VD[[0, 9]].any()  # never seen
    assert not table_VD[:, 9:].any()  # more columns than tokens can tell apart
    np.testing.assert_allclose(table_VD[1:9].std(), 0.25, rtol=1e-5)
    np.testing.assert_array_equal(table_VD, ppmi_embeddings(TEXTS, vocab_size=10, size=16, deviation=0.25))


def test_no_pair_stands_across_two_texts():
    apart = ppmi_embeddings(ragged([[1], [2], []]), vocab_size=4, size=2, deviation=0.1)
    assert not apart.any()


def test_places_are_alike_by_their_distance_alone():
    places_TD = sinusoidal_positions(50, 32, deviation=0.02)
    alike = [cosine(places_TD[place], places_TD[place + 3]) for place in (0, 7, 40)]
    np.testing.assert_allclose(alike, alike[0], atol=1e-5)
    assert cosine(places_TD[7], places_TD[8]) > alike[0] > cosine(places_TD[7], places_TD[20])
    np.testing.assert_allclose(np.sqrt((places_TD**2).mean()), 0.02, rtol=1e-5)
    assert sinusoidal_positions(4, 5, deviation=1.0).shape == (4, 5)


def test_rows_of_which_nothing_is_known_stay():
    weight_VD = torch.ones(3, 2)
    begin_with(weight_VD, np.array([[0, 0], [0, 5], [0, 0]], np.float32))
    assert weight_VD.tolist() == [[1, 1], [0, 5], [1, 1]]
