"""Tokenizers of language models know every text and say which characters each token adds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from yanmo.errors import ModelError
from yanmo.text.language_tokens import END, TRAINERS, LanguageTokenizer

LEARNED = ["the cat sat on the mat\n", "你好世界，世界你好", "abc abc"] * 3
NAMES = ("bytes", "characters", "words")
TOKENIZERS = {name: LanguageTokenizer.of(TRAINERS[name](LEARNED, 400), name=name, end=END) for name in NAMES}
TEXTS = st.lists(st.text(max_size=12), max_size=4)


@pytest.mark.parametrize("name", NAMES)
@given(texts=TEXTS)
def test_the_characters_of_tokens_lie_side_by_side_and_cover_the_text(name, texts):
    found = TOKENIZERS[name].encode(texts)
    assert len(found.ids) == len(texts)
    for row, text in enumerate(texts):
        places = found.places[found.ids.offsets[row] : found.ids.offsets[row + 1]]
        if name == "words" and not text.split():
            continue
        assert [*places[:, 0], len(text)] == [0, *places[:, 1]]


@pytest.mark.parametrize("name", ["bytes", "characters"])
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_no_text_is_unknown_and_all_come_back(name, text):
    tokenizer = TOKENIZERS[name]
    assert tokenizer.backend.decode(tokenizer.encode([text]).ids.values.tolist()) == text


@given(texts=TEXTS)
def test_characters_without_the_library_are_what_the_library_says(texts):
    ours = TOKENIZERS["characters"].encode(texts)
    theirs = LanguageTokenizer(TOKENIZERS["characters"].backend, 0).encode(texts)
    np.testing.assert_array_equal(ours.ids.values, theirs.ids.values)
    np.testing.assert_array_equal(ours.places, theirs.places)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_texts_make_the_same_tokenizer_and_the_end_of_a_text_is_no_text(name):
    assert TRAINERS[name](LEARNED, 300).to_str() == TRAINERS[name](LEARNED, 300).to_str()
    assert TRAINERS[name](LEARNED, 300).get_vocab_size() <= 300
    assert TOKENIZERS[name].end_id not in TOKENIZERS[name].encode([f"a {END} b"]).ids.values


def test_a_tokenizer_without_an_end_is_refused(tmp_path):
    Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="no token for the end of a text") as caught:
        LanguageTokenizer.open(tmp_path / "tokenizer.json")
    assert "<|endoftext|>" in caught.value.hint


def test_the_most_frequent_words_stand_behind_the_characters_until_the_vocabulary_is_full():
    learned = [" often often seldom"] * 60
    full = TRAINERS["characters"](learned, 400).get_vocab_size()
    assert TRAINERS["symbols"](learned, full).get_vocab_size() == full
    vocabulary = TRAINERS["symbols"](learned, full + 1).get_vocab()
    assert len(vocabulary) == full + 1
    assert " often" in vocabulary
    assert " seldom" in TRAINERS["symbols"](learned, full + 2).get_vocab()


def test_lone_surrogates_alone_are_no_characters():
    tokenizer = LanguageTokenizer.of(TRAINERS["characters"](["a\ud7ff\ue000"] * 3, 400), name="characters", end=END)
    for text, is_whole in (("\ud7ff", True), ("\ue000", True), ("\ud800", False), ("\udfff", False)):
        decoded = tokenizer.backend.decode(tokenizer.encode([text]).ids.values.tolist())
        assert decoded == (text if is_whole else "\ufffd")
