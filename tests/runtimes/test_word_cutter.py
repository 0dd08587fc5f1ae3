"""Raw texts are cut at what a segmenter marks and at spaces: every other character is in exactly one word."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from yanmo.answers.answered import Decided, Span
from yanmo.runtimes.word_cutter import WordCutter


class Marks:
    """A segmenter that marks given places of every text, and its own task."""

    def __init__(self, *rows):
        self.task, self._rows = self, rows

    def infer(self, texts):
        return texts, None

    def decide(self, evidence, labels):  # noqa: ARG002 - one signature
        rows = [tuple(Span(start, end, "word", 1.0) for start, end in row) for row in self._rows]
        return Decided(rows, np.ones(len(rows), dtype=np.float32))


def words(texts, *rows):
    places = WordCutter(Marks(*rows), ["word"]).places(texts)
    ends = places.offsets.tolist()
    return [
        [text[start:end] for start, end in places.values[ends[row] : ends[row + 1]].tolist()]
        for row, text in enumerate(texts)
    ]


def test_words_are_what_is_marked_and_what_lies_between():
    assert words(["我爱北京。", "a b"], [(2, 4)], []) == [["我爱", "北京", "。"], ["a", "b"]]


def test_a_mark_across_a_space_is_two_words():
    assert words(["ab cd e"], [(1, 4)]) == [["a", "b", "c", "d", "e"]]


def test_texts_without_words_have_none():
    assert words(["", "  ", "a"], [], [], []) == [[], [], ["a"]]


@given(text=st.text(alphabet="ab 我\n", max_size=12), cuts=st.lists(st.integers(0, 12), max_size=6))
def test_no_character_is_lost_and_none_stands_twice(text, cuts):
    cuts = sorted(one for one in set(cuts) if one <= len(text))
    (found,) = words([text], list(itertools.pairwise(cuts)))
    assert "".join(found) == "".join(text.split())
    assert all(word and not any(one.isspace() for one in word) for word in found)
