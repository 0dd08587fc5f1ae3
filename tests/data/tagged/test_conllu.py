"""CoNLL-U: columns by name, keys of MISC, spaces; multi-word tokens and empty nodes are counted."""

from collections import Counter
from pathlib import Path

import pytest

from yanmo.data.tagged.conllu import read_conllu
from yanmo.data.tagged.sentence import Multiword
from yanmo.errors import DataError

FILE = Path("a.conllu")


def line(number, form, upos="X", misc="_"):
    return "\t".join([str(number), form, "_", upos, f"{upos}x", "_", "0", "_", "_", misc])


def read(lines, tag="upos", *, name=None, counts=None):
    return list(read_conllu(FILE, lines, tag, name=name, counts=Counter() if counts is None else counts))


SENTENCE = [
    "# sent_id = s1",
    "# text = Don't go.",
    line("1-2", "Don't"),
    line(1, "Do", "AUX"),
    line(2, "n't", "PART"),
    line("2.1", "hidden", "VERB"),
    line(3, "go", "VERB", "SpaceAfter=No|NER=B-A"),
    line(4, ".", "_"),
    "",
]


def test_a_sentence_has_its_words_tags_spaces_and_tokens():
    counts = Counter()
    (one,) = read(SENTENCE, name="sent_id", counts=counts)
    assert (one.line, one.name, one.text) == (4, "s1", "Don't go.")
    assert one.words == ["Do", "n't", "go", "."]
    assert one.tags == ["AUX", "PART", "VERB", None]
    assert one.spaces == [False, True, False, True]
    assert one.multiwords == [Multiword(0, 2, "Don't")]
    assert counts == {"multi-word tokens": 1, "empty nodes, which are left out": 1}


def test_a_tag_is_a_column_or_a_key_of_misc():
    assert read(SENTENCE, "XPOS")[0].tags == ["AUXx", "PARTx", "VERBx", "_x"]
    assert read(SENTENCE, "NER")[0].tags == [None, None, "B-A", None]
    assert read(SENTENCE, None)[0].tags == [None] * 4
    plus = ["# global.columns = ID FORM NER", "1\tRome\tB-LOC"]
    assert read(plus, "ner")[0].tags == ["B-LOC"]


def test_spaces_that_no_row_denies_are_unknown():
    assert read([line(1, "看似"), line(2, "简单")])[0].spaces is None


def test_a_word_may_begin_like_a_comment():
    assert read([line(1, "#"), line(2, "1")])[0].words == ["#", "1"]


def test_a_tag_that_no_row_has_is_named_with_those_that_there_are():
    with pytest.raises(
        DataError, match="a.conllu has no column and no key of MISC 'NRE'. Did you mean 'NER'?"
    ) as caught:
        read(SENTENCE, "NRE")
    assert "deprel" in caught.value.hint
    assert "NER" in caught.value.hint


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["", "1\ta\tb"], "a.conllu line 2 has 3 columns, but CoNLL-U has 10 with tabs between. Got '1\\ta\\tb'."),
        (["1 a b"], "a.conllu line 1 has 1 column, but CoNLL-U has 10 with tabs between. Got '1 a b'."),
        ([line("a", "b")], "a.conllu line 1 begins with 'a', which is no id of a word."),
        ([line("1-b", "b")], "a.conllu line 1 begins with '1-b', which is no id of a word."),
    ],
)
def test_a_wrong_row_is_named(lines, message):
    with pytest.raises(DataError) as caught:
        read(lines)
    assert caught.value.message == message
