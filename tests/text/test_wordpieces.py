"""Word pieces put together again: no blanks beside Chinese characters, and places that follow."""

import numpy as np

from yanmo.text.wordpieces import without_blanks


def test_places_follow_where_blanks_are_left_out():
    text, ends_T = without_blanks("你 好 ab c", np.array([0, 1, 3, 6, 8]))
    assert text == "你好ab c"
    assert [text[:end] for end in ends_T.tolist()] == ["", "你", "你好", "你好ab", "你好ab c"]
