"""Means of written texts that models cut into tokens of their own."""

import numpy as np
import pytest

from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.combine.candidates import average_candidates


def writings(rows):
    """Rows of candidates, each a text and the probabilities of its tokens."""
    flat = [one for row in rows for one in row]
    lengths = [len(shares) for _, shares in flat]
    values = np.log([share for _, shares in flat for share in shares]).astype(np.float32)
    ends = np.cumsum([0, *lengths])
    places = np.concatenate([[(0, 0)] * (len(shares) - 1) + [(0, len(text))] for text, shares in flat])
    return Writings(
        Sequences(values, ends, places.astype(np.int64), [text for text, _ in flat]), np.cumsum([0, *map(len, rows)])
    )


def test_a_text_has_the_mean_of_what_all_give_it_whatever_its_tokens_are():
    ours = writings([[("a", [0.5, 0.8]), ("b", [0.3])], [("c", [0.9])]])
    theirs = writings([[("b", [0.5]), ("d", [0.2])], [("e", [0.6, 0.5])]])
    found = average_candidates([ours, theirs], [0.5, 0.5])
    assert [list(one) for one in found.rows()] == [["b", "a", "d"], ["c", "e"]]
    shares = [np.exp(list(one.values())) for one in found.rows()]
    assert shares[0] == pytest.approx([0.4, 0.2, 0.1], rel=1e-5)
    assert shares[1] == pytest.approx([0.45, 0.15], rel=1e-5)
    # Of b the tokens are those of the one that is surer of it.
    assert np.diff(found.candidates.ends).tolist() == [1, 2, 1, 1, 2]


def test_weights_decide_and_a_mean_of_one_is_itself():
    ours, theirs = writings([[("a", [0.5])]]), writings([[("b", [0.6])]])
    assert average_candidates([ours, theirs], [0.9, 0.1]).texts == ["a"]
    assert average_candidates([ours, theirs], [0.1, 0.9]).texts == ["b"]
    alone = average_candidates([ours], [1.0])
    assert alone.texts == ours.texts
    assert alone.candidates.values_M == pytest.approx(ours.candidates.values_M, abs=1e-6)
