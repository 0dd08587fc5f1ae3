"""Phrases that an answer must have, whatever a model would write."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.runtimes.generating.forced_phrases import ForcedPhrases

END, MOST, SIZE = 0, 12, 9
TOKENS = st.integers(1, SIZE - 1)
PHRASE = st.lists(st.lists(TOKENS, min_size=1, max_size=3), min_size=1, max_size=2)


def text_of(tokens):
    """A letter a token, and two for the last one."""
    return "".join("ab" if token == SIZE - 1 else chr(ord("a") + token - 1) for token in tokens if token != END)


def written(phrases, preferred):
    """What is written by a model that likes one token the best at each step."""
    constraint, found = ForcedPhrases(phrases, END, MOST, text_of), []
    for token in preferred:
        scores = np.full(SIZE, -5.0, np.float32)
        scores[token] = -0.1
        constraint.forbid(scores)
        found.append(int(scores.argmax()))
        # The end is a token: nothing but it ends an answer.
        assert not constraint.accept(found[-1])
        if found[-1] == END:
            break
    return found


def has(found, phrase):
    return any(text_of(one) in text_of(found) for one in phrase)


@given(st.lists(PHRASE, max_size=2), st.lists(st.integers(0, SIZE - 1), min_size=MOST, max_size=MOST))
def test_every_phrase_is_written_before_the_end(phrases, preferred):
    found = written(phrases, preferred)
    assert all(has(found, phrase) for phrase in phrases)


@pytest.mark.parametrize(
    ("preferred", "expected"),
    [
        # At the end; where the model begins it; and in the spelling in which it does.
        ([3, 4, END], [3, 4, 1, 2]),
        ([3, 1, 5, 6, END], [3, 1, 2, 6, END]),
        ([3, 7, 5, END], [3, 7, 2, END]),
    ],
)
def test_a_phrase_is_begun_where_the_model_begins_it_or_at_the_end(preferred, expected):
    found = written([[[1, 2], [7, 2]]], preferred + [END] * (MOST - len(preferred)))
    assert found[: len(expected)] == expected


def test_without_phrases_nothing_is_changed():
    assert written([], [3, 4, END]) == [3, 4, END]


@pytest.mark.parametrize("behind", [[END], [1, 5, END]])
def test_what_is_written_in_other_tokens_is_not_written_again(behind):
    assert written([[[1, 2], [7, 2]]], [3, SIZE - 1, *behind]) == [3, SIZE - 1, *behind]


def test_a_phrase_without_tokens_is_none():
    assert written([[[], [1, 2]], [[], []]], [3, *[END] * 5])[:4] == [3, 1, 2, END]
