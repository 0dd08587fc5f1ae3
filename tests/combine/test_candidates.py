"""Candidates of several models: shares are added up by text, whatever tokens there were."""

import numpy as np
import pytest

from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.combine.candidates import average_candidates


def written(*rows):
    """Candidates of rows, each a text with its probability, a token a character."""
    flat = [one for row in rows for one in row]
    counts = [max(len(text), 1) for text, _ in flat]
    values = np.repeat([np.log(share) / count for (_, share), count in zip(flat, counts, strict=True)], counts)
    places = [[one, one + 1] for (text, _), count in zip(flat, counts, strict=True) for one in range(count)]
    return Writings(
        Sequences(values.astype(np.float32), np.cumsum([0, *counts]), np.array(places), [text for text, _ in flat]),
        np.cumsum([0, *map(len, rows)]),
    )


def test_shares_of_equal_texts_are_added_by_weight_and_the_best_comes_first():
    one = written([("ab", 0.6), ("c", 0.3)], [("x", 0.9)])
    other = written([("c", 0.8), ("d", 0.1)], [("x", 0.5), ("y", 0.4)])
    found = average_candidates([one, other], [0.5, 0.5])
    assert found.candidates.texts == ["c", "ab", "d", "x", "y"]
    assert found.offsets.tolist() == [0, 3, 5]
    np.testing.assert_allclose(np.exp(found.candidates.sums_N()), [0.55, 0.3, 0.05, 0.7, 0.2], rtol=1e-5)


def test_a_model_alone_says_what_it_says():
    one = written([("ab", 0.6), ("c", 0.3)])
    found = average_candidates([one], [1.0])
    assert found.candidates.texts == ["ab", "c"]
    assert np.exp(found.candidates.sums_N()) == pytest.approx([0.6, 0.3], rel=1e-5)
