"""Texts that grow by tokens: the same one by one and several at once, and nothing of the prompt in them."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from yanmo.text.growing import GrowingText
from yanmo.text.language_tokens import train_characters


@pytest.fixture(scope="module")
def bytewise():
    """A tokenizer with a token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.mark.parametrize("stops", [("c",), ("bcd", "c"), ("d",), ("xyz",), ()])
def test_several_tokens_at_once_end_where_one_after_the_other_does(bytewise, stops):
    tokens = bytewise.encode("abcdefgh").ids
    alone, together = (GrowingText(bytewise, stops=stops) for _ in range(2))
    for token in tokens:
        alone.push([token])
    together.push(tokens)
    assert (together.text, together.ends, together.is_stopped) == (alone.text, alone.ends, alone.is_stopped)


def test_of_a_prompt_that_ends_within_a_character_nothing_is_told(bytewise):
    whole = bytewise.encode("ab中").ids
    text = GrowingText(bytewise, whole[:-1], stops=["b"])
    told = text.push([*whole[-1:], *bytewise.encode("Hi").ids], is_last=True)
    assert told.removeprefix("中") == "Hi"
    assert not text.is_stopped


@pytest.mark.parametrize("odd", [[0xC3], [0xE4, 0xB8], [0xFF, 0xFF]])
def test_bytes_that_begin_no_character_are_left_out_behind_one_that_is_spelled(odd):
    tokenizer = train_characters(["ab"], 300)
    spelled = [tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in ["中".encode()[0], *"中".encode()[1:], *odd]]
    text = GrowingText(tokenizer)
    text.push([*spelled, tokenizer.token_to_id("a"), tokenizer.token_to_id("b")], is_last=True)
    assert text.text == "中ab"
    assert text.ends[-2:] == [2, 3]


def test_what_may_become_a_stop_string_is_told_only_when_it_has_not(bytewise):
    a, b, c = bytewise.encode("abc").ids
    text = GrowingText(bytewise, stops=["bc"])
    assert [text.push([a]), text.push([b]), text.push([a])] == ["a", "", "ba"]
    assert [text.push([b]), text.push([c]), text.push([a])] == ["", "", ""]
    assert (text.text, text.is_stopped) == ("aba", True)
    ended = GrowingText(bytewise, stops=["bc"])
    assert (ended.push([a, b]), ended.push([], is_last=True)) == ("a", "b")
