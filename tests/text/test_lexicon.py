"""The longest words of a list are found where they stand, and nowhere across the edges of a text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.text.inputs import Inputs
from yanmo.text.lexicon import MAX_LENGTH, Lexicon
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.unit_views import UnitViews


def units_of(texts, rule):
    return TextPipeline(TextConfig(units=rule)).read(Inputs((texts,))).units


def match(words, units, rule="characters"):
    found = Lexicon.of(units_of(words, rule), rule).match(UnitViews(units).view("unit"))
    return {name: lengths.tolist() for name, lengths in found.items()}


def search(words, units, shortest):
    """Return what there is to find, place by place."""
    known = {tuple(word) for word in words if shortest <= len(word) <= MAX_LENGTH}
    expected = {name: [0] * len(units) for name in ("begins", "ends", "covers")}
    for start in range(len(units)):
        for stop in range(start + 1, len(units) + 1):
            if tuple(units[start:stop]) in known:
                touched = [
                    ("begins", start),
                    ("ends", stop - 1),
                    *(("covers", at) for at in range(start + 1, stop - 1)),
                ]
                for name, at in touched:
                    expected[name][at] = max(expected[name][at], stop - start)
    return expected


@settings(max_examples=50)
@given(st.lists(st.text("上海市体", min_size=1, max_size=10), max_size=8), st.text("上海市体", min_size=1, max_size=25))
def test_the_longest_words_are_found(words, text):
    assert match(words, list(text)) == search(words, list(text), shortest=2)


def test_words_between_spaces_are_matched_as_sequences_and_alone():
    words = ["New York", "York", "the New York Times"]
    text = ["in", "the", "New", "York", "Times"]
    expected = search([word.split() for word in words], text, shortest=1)
    assert match(words, text, "words") == expected
    assert expected["covers"] == [0, 0, 4, 4, 0]


def test_a_list_is_cleaned_as_texts_are():
    assert match(["ＡＢ", "  ", ""], ["A", "B"])["begins"] == [2, 0]


def test_a_list_comes_back_from_its_tensor():
    lexicon = Lexicon.of(units_of(["上海", "上海市", "体育局"], "characters"), "characters")
    again = Lexicon.read(lexicon.tensor())
    assert (again.shortest, again.longest) == (lexicon.shortest, lexicon.longest) == (2, 3)
    np.testing.assert_array_equal(again.hashes_W, lexicon.hashes_W)
    unit_S = UnitViews(list("在上海市")).view("unit")
    assert again.match(unit_S)["begins"].tolist() == [0, 3, 0, 0]


def test_few_other_sequences_are_taken_for_words():
    random = np.random.default_rng(0)
    words = ["".join(chr(0x4E00 + one) for one in row) for row in random.integers(0, 5000, size=(5000, 3))]
    unit_S = UnitViews([chr(0x4E00 + one) for one in random.integers(0, 5000, size=20_000)]).view("unit")
    found = Lexicon.of(units_of(words, "characters"), "characters").match(unit_S)
    assert 0 < np.count_nonzero(found["begins"]) < 20_000 / 100


@pytest.mark.parametrize("words", [[], [""], ["字"]], ids=str)
def test_a_list_without_words_finds_none(words):
    assert match(words, list("字字"))["begins"] == [0, 0]
