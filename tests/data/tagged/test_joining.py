"""Words become the text that they were cut from, as far as the file says it, and stand where they are said to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.data.tagged.joining import join_words, merge_multiwords
from yanmo.data.tagged.sentence import Multiword, WordsRow


def row(words, **more):
    return WordsRow(1, words.split() if isinstance(words, str) else words, [None] * len(words.split()), **more)


@pytest.mark.parametrize(
    ("words", "more", "glue", "text"),
    [
        ("in New York", {}, "as written", "in New York"),
        ("上海 推 “ 迎", {}, "as written", "上海推“迎"),
        ("上海 推 迎", {}, "space", "上海 推 迎"),
        ("A B C", {}, "nothing", "ABC"),
        ("I do n't .", {"spaces": [True, False, False, True]}, "as written", "I don't."),
        ("I do n't .", {"spaces": [True, False, False, True]}, "space", "I do n't ."),
        ("我 用 iPhone 4", {"text": "我用iPhone 4"}, "nothing", "我用iPhone 4"),
        ("I do n't", {"text": " I  don't \u3000"}, "as written", " I  don't \u3000"),
        ("in Rome", {"text": "in Paris"}, "as written", "in Rome"),
        ("in Rome", {"text": "in Rome , too"}, "as written", "in Rome"),
    ],
)
def test_what_a_file_says_about_its_text_counts_most(words, more, glue, text):
    found, places = join_words(row(words, **more), glue)
    assert found == text
    assert [found[start:end] for start, end in places] == words.split()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5)), st.sampled_from(["space", "nothing"]))
def test_any_words_stand_where_they_are_said_to(words, glue):
    text, places = join_words(WordsRow(1, words, [None] * len(words)), glue)
    assert [text[start:end] for start, end in places] == words
    assert len(text) == sum(map(len, words)) + (max(len(words) - 1, 0) if glue == "space" else 0)


def test_a_multi_word_token_that_hides_its_words_stands_in_their_place():
    words = ["vamos", "nos", "a", "el", "mar", "do", "n't"]
    tokens = [Multiword(0, 2, "vámonos"), Multiword(2, 4, "al"), Multiword(5, 7, "don't")]
    tags = ["B-A", "I-A", "O", "B-A", "O", "O", "O"]
    spaces = [False, True, False, True, True, False, False]
    merged = merge_multiwords(WordsRow(1, words, tags, spaces=spaces, multiwords=tokens))
    assert merged.words == ["vámonos", "al", "mar", "do", "n't"]
    assert merged.tags == ["B-A", None, "O", "O", "O"]
    assert join_words(merged, "as written")[0] == "vámonos al mar don't"


@pytest.mark.parametrize(
    ("tags", "tag"),
    [
        (["ADP", "DET"], None),
        (["DET", "DET"], "DET"),
        (["B-A", "I-B"], None),
        ([None, "DET"], None),
    ],
)
def test_a_multi_word_token_has_a_tag_where_its_words_have_one_kind(tags, tag):
    merged = merge_multiwords(WordsRow(1, ["de", "le"], tags, multiwords=[Multiword(0, 2, "du")]))
    assert (merged.words, merged.tags) == (["du"], [tag])
