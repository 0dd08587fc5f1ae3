"""Phrases are found where they stand by themselves, in any script, and at the characters where they are."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.phrases import TextMatch, find_patterns, find_phrases


def found(texts, phrases):
    return [(one.row, texts[one.row][one.start : one.end]) for one in find_phrases(texts, phrases)]


def test_the_longest_of_those_that_begin_first_is_found():
    texts = ["我爱北京天安门广场", "", "天安门"]
    assert found(texts, ["北京", "天安门", "北京天安门", "门广"]) == [(0, "北京天安门"), (2, "天安门")]


def test_a_word_of_letters_stands_alone_and_one_of_ideographs_need_not():
    texts = ["Ann met Annual and (Ann), ann", "云在云南", "iPhone15, iPhone 15"]
    assert found(texts, ["Ann", "云", "iPhone"]) == [(0, "Ann"), (0, "Ann"), (1, "云"), (1, "云"), (2, "iPhone")]


def test_a_longer_phrase_that_runs_on_does_not_hide_a_shorter_one():
    assert found(["New York Timesheet"], ["New York Times", "New York"]) == [(0, "New York")]


def test_phrases_with_spaces_signs_and_emoji_are_found_as_written():
    texts = ["😀 buy a C++ book 😀😀", "e\u0301te\u0301"]
    assert found(texts, ["C++", "😀😀", "a C++ book"]) == [(0, "a C++ book"), (0, "😀😀")]


LETTERS = "ab好é😀 "


@given(
    st.lists(st.text(alphabet=LETTERS, max_size=12), max_size=5),
    st.sets(st.text(alphabet=LETTERS, min_size=1, max_size=3), min_size=1),
)
def test_what_is_found_stands_there_and_nothing_overlaps(texts, phrases):
    phrases = sorted(phrases)
    ends = {}
    for one in find_phrases(texts, phrases):
        assert texts[one.row][one.start : one.end] == phrases[one.number]
        assert one.start >= ends.get(one.row, 0)
        ends[one.row] = one.end


def test_patterns_give_their_group_called_name_and_nothing_empty():
    patterns = [re.compile(r"\d*"), re.compile(r"No\. (?P<name>[A-Z]+)")]
    assert find_patterns(["a 12 No. AB", ""], patterns) == [TextMatch(0, 2, 4, 0), TextMatch(0, 9, 11, 1)]
