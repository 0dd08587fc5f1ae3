"""Altered copies: of the same pieces, in other numbers or another order, the same ones from the same seed."""

import numpy as np
import pytest

from yanmo.text.altering import PIECES, SHARE, alter

TEXTS = ["送得太慢了，菜都凉了", "great food, fast delivery", "好", "", "iPhone 15 很好用"]


@pytest.mark.parametrize("kind", ["drop", "swap", "mix"])
def test_the_same_seed_gives_the_same_texts(kind):
    first, second = (alter(TEXTS, [kind], np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert len(first) == len(TEXTS)
    assert first != TEXTS


def test_drop_leaves_something_out_and_adds_nothing():
    for seed in range(20):
        for text, altered in zip(TEXTS, alter(TEXTS, ["drop"], np.random.default_rng(seed)), strict=True):
            rest = iter(PIECES.findall(text))
            assert all(piece in rest for piece in PIECES.findall(altered))
            assert len(altered) < len(text) or len(PIECES.findall(text)) < 2


def test_drop_leaves_at_least_one_piece():
    generator = np.random.default_rng(2)
    assert alter(["好"] * 200, ["drop"], generator) == ["好"] * 200
    assert {len(altered) for altered in alter(["很好"] * 1000, ["drop"], generator)} == {1}
    assert all(altered.strip() for altered in alter(["  好 吃"] * 200, ["drop"], generator))


def test_swap_keeps_every_piece():
    for text, altered in zip(TEXTS, alter(TEXTS, ["swap"], np.random.default_rng(1)), strict=True):
        assert sorted(altered) == sorted(text)


def test_a_tenth_of_a_long_text_is_dropped_or_changes_places():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    share = SHARE * 400
    (dropped,) = alter([text], ["drop"], np.random.default_rng(0))
    assert 400 - 2 * share < len(dropped) < 400 - share / 2
    (swapped,) = alter([text], ["swap"], np.random.default_rng(0))
    moved = sum(one != other for one, other in zip(text, swapped, strict=True))
    assert share < moved <= 2 * share


def test_mix_holds_spans_of_two_texts():
    texts = ["一二三四五六七八", "甲乙丙丁戊己庚辛"]
    for seed in range(20):
        for altered in alter(texts, ["mix"], np.random.default_rng(seed)):
            parts = [
                part for part in (altered[:place] for place in range(1, len(altered))) if part in texts[0] + texts[1]
            ]
            assert parts
            assert 4 <= len(altered) <= 16


def test_the_other_text_of_a_mix_is_any():
    texts = ["一二三四", "甲乙丙丁", "金木水火"]
    altered = [alter(texts, ["mix"], np.random.default_rng(seed))[0] for seed in range(20)]
    for other in texts[1:]:
        assert any(set(one) & set(other) for one in altered)
