"""Hashes of n-grams: the same, whatever part of the texts is looked at in one go."""

import numpy as np

from yanmo.arrays import Ragged
from yanmo.text import shingles
from yanmo.text.shingles import band_hashes


def test_bands_do_not_depend_on_how_many_texts_are_read_at_a_time(monkeypatch):
    lengths = [5, 7, 9]
    offsets = np.cumsum([0, *lengths])
    sets = Ragged(np.random.default_rng(3).integers(0, 1 << 32, offsets[-1]).astype(np.uint32), offsets)
    whole = band_hashes(sets)
    # Every text is longer than this.
    monkeypatch.setattr(shingles, "PIECE", 3)
    assert np.array_equal(band_hashes(sets), whole)
