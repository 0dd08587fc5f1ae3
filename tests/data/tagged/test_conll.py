"""CoNLL: columns by number, comments, documents, sentences; a ragged row and a missing column name their line."""

from pathlib import Path

import pytest

from yanmo.data.tagged.conll import Columns, read_conll
from yanmo.errors import DataError

FILE = Path("a.conll")


def read(content, **columns):
    return list(read_conll(FILE, content.split("\n"), Columns(**columns)))


def words(content, **columns):
    return [(one.line, one.words, one.tags) for one in read(content, **columns)]


def test_the_first_column_has_the_words_and_the_last_the_tags():
    content = "EU NNP B-ORG\nrejects VBZ O\n\n\nPeter NNP B-PER\n"
    assert words(content) == [(1, ["EU", "rejects"], ["B-ORG", "O"]), (5, ["Peter"], ["B-PER"])]
    assert words(content, tag=2)[0] == (1, ["EU", "rejects"], ["NNP", "VBZ"])
    assert words(content, word=2, tag=1)[1] == (5, ["NNP"], ["Peter"])
    assert words(content, tag=None)[1] == (5, ["Peter"], [None])


def test_documents_are_no_words():
    assert words("-DOCSTART- -X- O O\n\nin IN O O\n-DOCSTART-\n\nRome NNP B O", tag=2) == [
        (3, ["in"], ["IN"]),
        (6, ["Rome"], ["NNP"]),
    ]


def test_a_sign_that_begins_comments_may_be_a_word():
    content = "# O\n1 O\n# text = a # b\n\n# id = 7\n# O\nx O\n#hash O\n# \n"
    first, second = read(content, name="id")
    assert (first.words, second.words) == (["#", "1"], ["#", "x", "#hash"])
    assert (first.name, second.name, second.text) == (None, "7", None)
    assert read("#\tO\n# 1 O\nb\tO")[0].words == ["#", "b"]


def test_comments_say_the_text_and_the_name():
    (one,) = read("# sent_id = s-1\n# text = 看似简单 ，\n1\t看似\tO\n2\t简单\tO", word=2, name="sent_id")
    assert (one.line, one.words, one.name, one.text) == (3, ["看似", "简单"], "s-1", "看似简单 ，")


def test_white_space_may_be_a_word():
    assert words("a O\n\u3000 O\n O\nb\u00a0c O") == [(1, ["a", "\u3000", "", "b\u00a0c"], ["O", "O", "O", "O"])]
    assert words("a b\tO\n \tO") == [(1, ["a b", " "], ["O", "O"])]


@pytest.mark.parametrize("mark", ["_", "-", ""])
def test_a_word_may_have_no_tag(mark):
    assert words(f"a\tO\nb\t{mark}\n")[0][2] == ["O", None]


def test_a_ragged_row_is_named():
    with pytest.raises(DataError) as caught:
        read("# a\nin IN O\n\nRome B-LOC\n")
    assert caught.value.message == "a.conll line 4 has 2 columns, but the first row has 3. Got 'Rome B-LOC'."


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"tag": 4}, "a.conll has no column 4: the row on line 2 has 3 columns."),
        ({"word": 5}, "a.conll has no column 5: the row on line 2 has 3 columns."),
        ({"word": 3}, "a.conll has no column of tags beside that of the words: the row on line 2 has 3 columns."),
    ],
)
def test_a_column_that_is_not_there_is_named(columns, message):
    with pytest.raises(DataError) as caught:
        read("\nin IN O\n", **columns)
    assert caught.value.message == message


def test_a_file_of_words_alone_has_no_tags():
    with pytest.raises(
        DataError, match="has no column of tags beside that of the words: the row on line 1 has 1 column."
    ):
        read("in\nRome\n")
