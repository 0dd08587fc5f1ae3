"""Units: which characters are ideographs, letters, symbols or nothing, and where words begin and end."""

import numpy as np
import pytest

from yanmo.text.units import cjk_share, code_points, count_letters, mix, units

BLOCKS = {
    "radicals": ("\u2e80", "\u2fdf"),
    "iteration marks": ("\u3005", "\u3007"),
    "numerals": ("\u3021", "\u3029"),
    "kana and bopomofo": ("\u3040", "\u312f"),
    "more bopomofo": ("\u31a0", "\u31bf"),
    "more kana": ("\u31f0", "\u31ff"),
    "ideographs, extension A": ("\u3400", "\u4dbf"),
    "ideographs": ("\u4e00", "\u9fff"),
    "compatibility ideographs": ("\uf900", "\ufaff"),
    "half-width kana": ("\uff66", "\uff9f"),
    "ideographs of other planes": ("\U00020000", "\U0003ffff"),
}


def cut(text, *, cjk_words=False):
    points = code_points(text)
    starts, ends, hashes = units(points, mix(points), cjk_words=cjk_words)
    assert len(starts) == len(ends) == len(hashes)
    return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_chinese_and_japanese_begins_and_ends_where_unicode_says(block):
    first, last = BLOCKS[block]
    assert count_letters([first, last]) == (2, 2)
    assert count_letters([chr(ord(first) - 1), chr(ord(last) + 1)])[0] == 0


def test_nothing_else_is_chinese_or_japanese():
    expected = sum(ord(last) - ord(first) + 1 for first, last in BLOCKS.values())
    assert count_letters([chr(one) for one in range(0x110000)])[0] == expected


def test_a_share_is_of_letters_and_digits_only():
    assert count_letters(["好吃 ab1!", "，😀 \t"]) == (2, 5)
    assert cjk_share(["好吃 ab1!", "，😀 \t"]) == 0.4
    assert cjk_share(["!"]) == 0.0
    assert cjk_share(["好"]) == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\x00\x1e", []),
        ("don't stop", ["don't", "stop"]),
        ("it\u2019s e\u0301t", ["it\u2019s", "e\u0301t"]),
        ("好吃ab", ["好", "吃", "ab"]),
        ("a!?b", ["a", "!", "?", "b"]),
        ("😀😀", ["😀", "😀"]),
        ("a\u200bb\ufeffc\u00add", ["a", "b", "c", "d"]),
        ("かな カナ", ["か", "な", "カ", "ナ"]),
    ],
)
def test_a_text_is_cut_into_words_ideographs_and_symbols(text, expected):
    assert cut(text) == expected
    assert [unit for unit in cut("x " + text) if unit != "x"] == expected


def test_segmented_text_has_words_of_ideographs():
    assert cut("我 来到 北京！ok", cjk_words=True) == ["我", "来到", "北京", "！", "ok"]


def test_equal_units_have_equal_hashes_and_no_character_has_that_of_another():
    points = code_points("ab ba ab a aa 好 好")
    hashes = units(points, mix(points), cjk_words=False)[2].tolist()
    assert hashes[0] == hashes[2]
    assert hashes[5] == hashes[6]
    assert len(set(hashes)) == 5
    every = np.sort(mix(np.arange(0x110000, dtype=np.uint32)))
    assert (every[1:] != every[:-1]).all()
