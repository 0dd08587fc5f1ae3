"""Edits and common sequences of many pairs at once are those that a table of each pair gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from yanmo.metrics import edits
from yanmo.metrics.edits import count_edits, count_in_common

PAIRS = st.lists(st.tuples(st.text("abc", max_size=7), st.text("abc", max_size=7)), max_size=6)


def slow_edits(ours, theirs):
    if not ours or not theirs:
        return len(ours) + len(theirs)
    kept = slow_edits(ours[1:], theirs[1:]) + (ours[0] != theirs[0])
    return min(kept, slow_edits(ours[1:], theirs) + 1, slow_edits(ours, theirs[1:]) + 1)


def slow_common(ours, theirs):
    if not ours or not theirs:
        return 0
    if ours[0] == theirs[0]:
        return 1 + slow_common(ours[1:], theirs[1:])
    return max(slow_common(ours[1:], theirs), slow_common(ours, theirs[1:]))


@given(pairs=PAIRS)
def test_as_the_definitions_say(pairs):
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    assert count_edits(ours, theirs).tolist() == [slow_edits(*pair) for pair in pairs]
    assert count_in_common(ours, theirs).tolist() == [slow_common(*pair) for pair in pairs]


def test_blocks_do_not_matter(monkeypatch):
    ours, theirs = ["kitten", "", "a" * 30, "sunday"], ["sitting", "abc", "a" * 20, "saturday"]
    whole = count_edits(ours, theirs)
    monkeypatch.setattr(edits, "BLOCK_CELLS", 8)
    np.testing.assert_array_equal(count_edits(ours, theirs), whole)
    assert whole.tolist() == [3, 3, 10, 3]
