"""Units become tokens one by one, and every unit is decided about in exactly one window, where it stands deepest."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from yanmo.text.inputs import Inputs, Windows
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.tokenizer import train_wordpiece
from yanmo.text.unit_tokens import UnitTokenizer

LEARNED = ["很 快 好 吃 a b", "good food slow", "很 快 好 吃 a b", "good food slow"]
WORDPIECE = train_wordpiece(LEARNED, 120, min_frequency=1)
TEXTS = st.lists(st.text(alphabet="很快好吃ab [SEP]\u200b\x00", max_size=60), min_size=1, max_size=5)


def read(texts, rule="characters"):
    return TextPipeline(TextConfig(units=rule)).read(Inputs((texts,))).units


def first_tokens(encoded):
    """Return the first token of every unit, read from the window in which it is decided about."""
    firsts = encoded.units.firsts
    found = [encoded.ids.row(row)[firsts.row(row)] for row in range(len(encoded.ids))]
    return np.concatenate(found).tolist() if found else []


def alone(surface):
    # A character that the tokenizer makes nothing of is the unknown token, whose id is 1.
    return (WORDPIECE.encode(surface, add_special_tokens=False).ids or [1])[0]


@given(texts=TEXTS, max_length=st.integers(4, 20), overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]))
@settings(max_examples=60, deadline=None)
def test_every_unit_is_decided_about_once_in_a_window_that_fits(texts, max_length, overlap):
    units = read(texts)
    encoded = UnitTokenizer(WORDPIECE, max_length).encode(units, windows=Windows(overlap))
    assert first_tokens(encoded) == [alone(surface) for surface in units.surfaces]
    assert encoded.ids.lengths_N.max(initial=0) <= max_length
    assert {row[0] for row in map(encoded.ids.row, range(len(encoded.ids)))} <= {2}
    assert (np.diff(encoded.text_W) >= 0).all()
    assert not encoded.truncated_N.any()


def test_a_unit_of_a_long_text_is_decided_about_where_it_stands_deepest():
    encoded = UnitTokenizer(WORDPIECE, 12).encode(read(["好" * 40]), windows=Windows(0.5))
    # Ten units a window, of which five are new: each window decides about those in its middle.
    assert encoded.units.firsts.lengths_N.tolist() == [8, 5, 5, 5, 5, 5, 7]
    assert encoded.units.firsts.row(1).tolist() == [4, 5, 6, 7, 8]


def test_a_text_without_units_has_no_window_and_counts_no_token():
    encoded = UnitTokenizer(WORDPIECE, 12).encode(read(["", " ", "好"]))
    assert (encoded.text_W.tolist(), encoded.units.places.lengths_N.tolist()) == ([2], [0, 0, 1])
    nothing = UnitTokenizer(WORDPIECE, 12).encode(read([]))
    assert (len(nothing.ids), nothing.truncated_N.shape) == (0, (0,))


def test_of_a_word_with_many_tokens_the_end_is_cut_off_and_that_is_said():
    word = "o" * 60
    encoded = UnitTokenizer(WORDPIECE, 42).encode(read(["good food", word], "words"))
    assert encoded.truncated_N.tolist() == [False, True]
    # Two special tokens, and a fourth of what they leave free.
    assert encoded.ids.lengths_N[-1] == 2 + 40 // 4


def test_a_text_of_100_000_characters_is_read_to_its_end():
    units = read(["很快好吃" * 25_000])
    encoded = UnitTokenizer(WORDPIECE, 128).encode(units)
    assert first_tokens(encoded) == [alone(surface) for surface in units.surfaces]


def test_what_was_remembered_gives_the_same_tokens():
    tokenizer = UnitTokenizer(WORDPIECE, 16)
    before = tokenizer.encode(read(["good slow food"], "words"))
    tokenizer.encode(read(["slow 好 good"], "words"))
    again = tokenizer.encode(read(["good slow food"], "words"))
    assert again.ids.values.tolist() == before.ids.values.tolist()


@pytest.mark.parametrize("adds", [False, True])
def test_a_tokenizer_that_tells_words_by_their_spaces_sees_them(adds):
    inner = Tokenizer(models.BPE({"a": 0, "Ġ": 1, ",": 2, "Ġa": 3}, [("Ġ", "a")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds, use_regex=False)
    encoded = UnitTokenizer(inner, 16).encode(read(["a a, a", "a"], "tokens"))
    # One that adds spaces does so before every unit, as it does for words that are given one by one.
    assert first_tokens(encoded) == ([3, 3, 1, 3, 3] if adds else [0, 3, 2, 3, 0])
    # Characters stand alone, whatever stands between them.
    assert first_tokens(UnitTokenizer(inner, 16).encode(read(["a a"]))) == ([3, 3] if adds else [0, 0])


def test_some_windows_are_texts_of_their_own():
    encoded = UnitTokenizer(WORDPIECE, 12).encode(read(["很快", "好吃" * 20]))
    taken = encoded.take(np.array([2, 0]))
    assert taken.ids.row(1).tolist() == encoded.ids.row(0).tolist()
    assert taken.units.places.row(1).tolist() == [[0, 1], [1, 2]]
    assert (
        first_tokens(taken)
        == first_tokens(encoded)[len(encoded.units.firsts.row(0)) + len(encoded.units.firsts.row(1)) :][
            : len(taken.units.firsts.row(0))
        ]
        + first_tokens(encoded)[:2]
    )


def test_every_token_of_a_unit_is_of_its_kind_in_every_window_and_special_tokens_are_of_none():
    units = read(["good food slow a b"], "words")
    told = msgspec.structs.replace(units, kinds_U=np.array([3, 1, 2, 5, 4]))
    tokenizer = UnitTokenizer(WORDPIECE, 5)
    encoded = tokenizer.encode(told, windows=Windows(0.5))
    assert tokenizer.encode(units).type_ids is None
    assert len(encoded.ids) > 1
    words = {"good": 3, "food": 1, "slow": 2, "a": 5, "b": 4}
    kinds = {alone(word): kind for word, kind in words.items()}
    for row in range(len(encoded.ids)):
        ids, types = encoded.ids.row(row).tolist(), encoded.type_ids.row(row).tolist()
        assert [kinds.get(token, 0) for token in ids] == types
