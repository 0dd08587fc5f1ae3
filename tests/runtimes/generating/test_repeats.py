"""Answers that have begun to repeat themselves, against what a look at all of their ends finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.runtimes.generating.repeats import Repeats, most_in_a_row

MOST = 12


def is_over(ids, limit):
    """Whether the last tokens have come so many times in a row."""
    periods = range(1, len(ids) // limit + 1)
    return any(ids[-period * limit :] == ids[-period:] * limit for period in periods)


@given(st.integers(0, 10_000))
def test_an_answer_is_over_where_its_last_tokens_have_come_so_many_times(seed):
    random = np.random.default_rng(seed)
    rows = [(random.integers(0, 3, MOST).tolist(), int(random.integers(2, 6))) for _ in range(4)]
    repeats = Repeats(np.array([limit for _, limit in rows]), MOST)
    texts, lengths = list(range(len(rows))), {}
    for place in range(MOST):
        over = repeats.step(np.array(texts), np.array([rows[text][0][place] for text in texts]))
        lengths |= {texts[one]: place + 1 for one in over}
        # The others go on, in whatever order.
        texts = [text for text in reversed(texts) if text not in lengths]
        if not texts:
            break
    expected = {}
    for text, (ids, limit) in enumerate(rows):
        expected[text] = next((length for length in range(1, MOST + 1) if is_over(ids[:length], limit)), None)
    assert lengths == {text: length for text, length in expected.items() if length is not None}
    assert sorted(repeats.ended) == sorted(lengths)


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("", 1),
        ("a", 1),
        ("abc", 1),
        ("100000", 5),
        ("ha ha ha ha", 4),
        ("hahaha!", 3),
        ("x" * 50, 50),
        ("好好学习", 2),
        ("ha ha ha, he", 3),
    ],
)
def test_characters_in_a_row_are_counted_wherever_they_stand(text, most):
    assert most_in_a_row(text) == most


@given(st.text("ab", max_size=12))
def test_no_more_and_no_fewer_come_in_a_row_than_a_look_finds(text):
    pieces = [text[start:end] for start in range(len(text)) for end in range(start + 1, len(text) + 1)]
    # The last one need only have begun.
    found = [count + 1 for piece in pieces for count in range(1, len(text)) if piece * count + piece[0] in text]
    most = max(found, default=1)
    assert most_in_a_row(text) == most
    assert most_in_a_row(text, 4) == most or most < 4


def test_long_lines_that_come_again_are_counted_and_texts_of_any_length_are_looked_at_for_a_moment():
    line = "".join(map(chr, range(0x4E00, 0x4E00 + 200)))
    assert most_in_a_row(line * 10, 8) == 10
    assert most_in_a_row("ab1" * 33_000, 8) == 33_000
