"""Spans that are cut out of rows, and what is left of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.modeling.language.spans import choose_spans, cut_spans

SENTINELS = [900, 901, 902, 903, 904, 905]
END = [1]


def put_together(source, target):
    """The row again, from what is left of it and what was cut out."""
    marks = [place for place, one in enumerate(target) if one in SENTINELS]
    spans = {
        target[here]: target[here + 1 : there] for here, there in zip(marks, [*marks[1:], len(target)], strict=True)
    }
    found = []
    for one in source:
        found += spans.get(one, [one])
    return found


@given(st.lists(st.integers(2, 800), min_size=2, max_size=60), st.floats(0.05, 0.5), st.integers(0, 9))
def test_both_sides_together_are_the_row(row, share, seed):
    is_cut = choose_spans(len(row), share, len(SENTINELS) - 1, np.random.default_rng(seed))
    source, target = cut_spans(np.array(row), is_cut, SENTINELS, END)
    assert source[-1] == target[-1] == END[0]
    assert put_together(source[:-1].tolist(), target[:-1].tolist()) == row
    # Each mark is used once on both sides, in order, and one more ends what is written.
    used = [one for one in source.tolist() if one in SENTINELS]
    assert used == SENTINELS[: len(used)]
    assert [one for one in target.tolist() if one in SENTINELS] == SENTINELS[: len(used) + 1]


def test_so_many_tokens_are_cut_out_in_spans_of_three():
    generator = np.random.default_rng(0)
    found = [choose_spans(200, 0.15, 99, generator) for _ in range(50)]
    assert {int(one.sum()) for one in found} == {30}
    num_spans = [int((np.diff(one.astype(int)) == 1).sum()) for one in found]
    assert num_spans == [10] * 50
    # They are elsewhere each time.
    assert len({one.tobytes() for one in found}) == 50


@pytest.mark.parametrize("length", [0, 1])
def test_of_a_row_without_room_nothing_is_cut_out(length):
    assert not choose_spans(length, 0.15, 5, np.random.default_rng(0)).any()
