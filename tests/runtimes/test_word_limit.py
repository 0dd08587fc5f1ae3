"""Sentences that are too long are read as far as their first words; the others lose nothing."""

import numpy as np

from yanmo.arrays import Ragged
from yanmo.runtimes import word_limit
from yanmo.runtimes.word_limit import first_words
from yanmo.text.inputs import Units
from yanmo.text.surfaces import Surfaces


def sentences(*lengths):
    ends = np.cumsum([0, *lengths])
    numbers = np.arange(ends[-1])
    surfaces = Surfaces.of([f"w{number}" for number in numbers])
    return Units(surfaces, Ragged(np.stack([numbers, numbers + 1], axis=1), ends), "words", numbers % 3)


def test_every_sentence_keeps_its_own_first_words(monkeypatch):
    monkeypatch.setattr(word_limit, "MAX_WORDS", 3)
    kept, is_long_N = first_words(sentences(2, 5, 0, 4, 3))
    assert is_long_N.tolist() == [False, True, False, True, False]
    assert kept.surfaces == ["w0", "w1", "w2", "w3", "w4", "w7", "w8", "w9", "w11", "w12", "w13"]
    assert kept.places.lengths_N.tolist() == [2, 3, 0, 3, 3]
    assert [f"w{start}" for start in kept.places.values[:, 0]] == kept.surfaces
    assert kept.kinds_U.tolist() == [int(one[1:]) % 3 for one in kept.surfaces]


def test_without_a_long_sentence_nothing_is_copied():
    whole = sentences(2, 5)
    kept, is_long_N = first_words(whole)
    assert kept is whole
    assert not is_long_N.any()
