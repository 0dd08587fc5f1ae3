"""The marks around both sides of a pair, and the blanks that word pieces put where there are none."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from yanmo.errors import ModelError
from yanmo.text.pair_tokens import PAD, PairTokenizer
from yanmo.text.wordpieces import joins_pieces, without_blanks

WORDS = {PAD: 0, "</s>": 1, "a": 2, "b": 3, "<s>": 4}


def tokenizer(before=""):
    made = Tokenizer(models.WordLevel(WORDS, unk_token="b"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = [(token, WORDS[token]) for token in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(f"{before} $A </s>".strip(), special_tokens=marks)
    return made


def test_rows_have_their_marks_and_are_cut_within_them():
    pairs = PairTokenizer.of(tokenizer("<s>"), name="it", pad=PAD, end="</s>", begin_id=1)
    assert (pairs.marks.before, pairs.marks.behind, pairs.begin_id) == ([4], [1], 1)
    rows, is_cut = pairs.encode(["a b a", "", "a"], max_length=4)
    assert np.split(rows.values, rows.offsets[1:-1])[0].tolist() == [4, 2, 3, 1]
    assert rows.values.tolist() == [4, 2, 3, 1, 4, 1, 4, 2, 1]
    assert is_cut.tolist() == [True, False, False]


def test_a_tokenizer_that_adds_no_marks_gets_the_end_and_begins_with_what_fills_rows():
    plain = tokenizer()
    plain.post_processor = None
    pairs = PairTokenizer.of(plain, name="it", pad=PAD, end="</s>", begin_id=None)
    assert (pairs.marks.before, pairs.marks.behind, pairs.begin_id) == ([], [1], 0)
    assert pairs.encode(["b"], max_length=8)[0].values.tolist() == [3, 1]


@pytest.mark.parametrize(("pad", "end", "lacking"), [(None, "</s>", "fills rows"), (PAD, "<eos>", "ends a text")])
def test_a_tokenizer_without_a_mark_is_refused_by_name(pad, end, lacking):
    with pytest.raises(ModelError, match=f"The tokenizer of it has no token that {lacking}"):
        PairTokenizer.of(tokenizer(), name="it", pad=pad, end=end, begin_id=None)


def test_blanks_beside_chinese_characters_go_and_the_others_stay():
    made = tokenizer()
    assert not joins_pieces(made)
    made.decoder = decoders.WordPiece()
    assert joins_pieces(made)
    text, ends = without_blanks("今 天 use BERT 吧 。", np.array([1, 3, 7, 12, 14, 16]))
    assert (text, ends.tolist()) == ("今天use BERT吧。", [1, 2, 5, 10, 11, 12])


def test_what_a_tokenizer_fills_rows_with_is_no_mark():
    made = tokenizer("<s>")
    made.enable_padding(length=8)
    pairs = PairTokenizer.of(made, name="it", pad=PAD, end="</s>", begin_id=None)
    assert (pairs.marks.before, pairs.marks.behind) == ([4], [1])
