"""Which tokens belong to one word: the segmenter's for Chinese, whole ones for other scripts."""

import numpy as np
import pytest

from yanmo.text.tokenizer import train_wordpiece
from yanmo.text.words import encode_documents, untruncated

TEXTS = ["我爱北京天安门", "unbelievable 北京", "", "a\x1eb", "天安门\ud800"]


@pytest.fixture(scope="module")
def tokenizer():
    return untruncated(train_wordpiece(["我爱北京天安门", "un be liev able"] * 3, 60, min_frequency=1))


def words(tokenizer, text):
    encoded = encode_documents(tokenizer, [text], whole_words=True)
    tokens = [tokenizer.id_to_token(one) for one in encoded.ids.values]
    found = []
    for token, continues in zip(tokens, encoded.continues, strict=True):
        if continues:
            found[-1].append(token)
        else:
            found.append([token])
    return ["".join(one) for one in found]


def test_chinese_words_are_those_of_the_segmenter(tokenizer):
    assert words(tokenizer, TEXTS[0]) == ["我", "爱", "北京", "天安门"]


def test_the_pieces_of_a_word_of_another_script_belong_together(tokenizer):
    encoded = encode_documents(tokenizer, ["unbe liev"], whole_words=True)
    assert len(encoded.continues) > 2
    assert np.flatnonzero(~encoded.continues).tolist() == [0, len(tokenizer.encode("unbe").ids) - 2]


def test_a_column_is_cut_as_its_texts_are_alone(tokenizer):
    column = encode_documents(tokenizer, TEXTS, whole_words=True)
    alone = [encode_documents(tokenizer, [text], whole_words=True) for text in TEXTS]
    assert column.ids.lengths_N.tolist() == [len(one.ids.values) for one in alone]
    np.testing.assert_array_equal(column.continues, np.concatenate([one.continues for one in alone]))


def test_without_whole_words_every_token_stands_alone(tokenizer):
    assert not encode_documents(tokenizer, TEXTS, whole_words=False).continues.any()


def test_a_text_of_any_length_is_read_to_its_end(tokenizer):
    assert encode_documents(tokenizer, ["北京" * 3000], whole_words=False).ids.lengths_N.tolist() == [6000]
