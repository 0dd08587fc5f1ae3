"""Hashed n-grams are those that a loop over texts finds, with uniform hashes that keep to their text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.config import build
from yanmo.errors import ConfigError
from yanmo.text import ngrams
from yanmo.text.ngrams import NgramConfig, default_ngrams, hash_column, hash_pairs, ngram_strings, stored_ngrams
from yanmo.text.units import cjk_share

# A Bundle holds weights by hash: were these to change, every old one would answer nonsense. The three of characters,
# which stand last, are the same in all versions.
CHARACTERS = ["0xb44a5a46f27f5bd8", "0x441ab75b654ea934", "0xd97dc8a0ba610dc1"]
GOLDEN = {
    1: ["0x629657b07e9db774", "0x7fe9952e3c010f1b", "0x739eafe50ca28266", "0x9f81ddceca42920c", "0x3c82c4bca36c853a"],
    2: ["0x99610eb255940ace", "0x6cfed5dcab11b3a0", "0x5960758acf4cd077", "0x225e77ae089fe32e", "0x395e6f98fcb44fbd"],
}

TEXTS = st.lists(st.one_of(st.text("aB 中文，'é\t\x1e", max_size=10), st.text(max_size=8)), max_size=6)
CONFIGS = [
    NgramConfig(word_ngrams=None, char_ngrams=(1, 3)),
    NgramConfig(word_ngrams=(1, 2), char_ngrams=None),
    NgramConfig(word_ngrams=(1, 3), char_ngrams=(2, 5)),
    NgramConfig(word_ngrams=(2, 2), char_ngrams=(4, 4), lowercase=False, cjk_words=True),
]


def windows(items: Sequence[str], sizes: tuple[int, int]) -> list[Sequence[str]]:
    starts = range(len(items))
    return [items[i : i + n] for i in starts for n in range(sizes[0], sizes[1] + 1) if i + n <= len(items)]


def sequences(text: str, config: NgramConfig) -> list[tuple[str, ...]]:
    """Return the n-grams of a text in plain Python: character n-grams as one string, word n-grams as several."""
    text = re.sub(r"\s+", " ", text)
    text = text.lower() if config.lowercase else text
    words = re.findall(r"[A-Za-z'é]+|\S", text)
    found: list[tuple[str, ...]] = []
    if config.word_ngrams:
        found += [("word", *window) for window in windows(words, config.word_ngrams)]
    if config.char_ngrams:
        found += [("characters", "".join(window)) for window in windows(text, config.char_ngrams)]
    return found


@pytest.mark.parametrize("config", CONFIGS[:3])
@given(texts=st.lists(st.text("aB 中文，'é\t", max_size=12), max_size=6))
@settings(max_examples=80, deadline=None)
def test_hashes_are_one_to_one_with_the_ngrams_of_a_plain_loop(config: NgramConfig, texts: list[str]) -> None:
    rows = hash_column(texts, config)
    expected = [sequences(text, config) for text in texts]
    assert rows.lengths_N.tolist() == [len(row) for row in expected]
    pairs = set(zip([ngram for row in expected for ngram in row], rows.values.tolist(), strict=True))
    assert len(pairs) == len({ngram for ngram, _ in pairs}) == len({value for _, value in pairs})


@pytest.mark.parametrize("config", CONFIGS)
@given(texts=TEXTS)
@settings(max_examples=80, deadline=None)
def test_a_column_has_the_hashes_of_its_texts_alone(config: NgramConfig, texts: list[str]) -> None:
    rows = hash_column(texts, config)
    assert rows.values.dtype == np.uint64
    assert rows.offsets.dtype == np.int64
    assert [rows.row(index).tolist() for index in range(len(texts))] == [
        hash_column([text], config).values.tolist() for text in texts
    ]


@pytest.mark.parametrize("num_characters", [5, 40, 60, 118])
def test_blocks_do_not_show(num_characters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", "中文 text", "a", "", "b c", ""] * 7
    whole = hash_column(texts, CONFIGS[2])
    monkeypatch.setattr(ngrams, "BLOCK_CHARACTERS", num_characters)
    blocks = hash_column(texts, CONFIGS[2])
    assert (blocks.values == whole.values).all()
    assert (blocks.offsets == whole.offsets).all()


@pytest.mark.parametrize("version", GOLDEN)
def test_hashes_never_change(version: Literal[1, 2]) -> None:
    config = NgramConfig(word_ngrams=(1, 2), char_ngrams=(2, 2), hash_version=version)
    rows = hash_column(["中a 文"], config)
    assert [hex(value) for value in rows.values.tolist()] == [*GOLDEN[version], *CHARACTERS]


def test_a_letter_that_passes_to_the_next_word_makes_another_pair() -> None:
    words = {"word_ngrams": (2, 2), "char_ngrams": None}
    one, other = hash_column(["a bb", "b ba"], NgramConfig(**words)).values
    assert one != other
    # As a model of old was trained: its file names no version.
    one, other = hash_column(["a bb", "b ba"], stored_ngrams(words, where="ngram.json")).values
    assert one == other


def test_what_is_stored_has_its_version() -> None:
    config = default_ngrams(0.5)
    assert stored_ngrams(config.model_dump(mode="json"), where="ngram.json") == config
    with pytest.raises(ConfigError, match="ngram.json must be 1 or 2. Got 3 instead"):
        stored_ngrams({"hash_version": 3}, where="ngram.json")


def test_every_bit_of_a_hash_is_uniform() -> None:
    texts = ["".join(map(chr, range(start, start + 200))) for start in range(0x4E00, 0x9E00, 200)]
    values = np.unique(hash_column(texts, NgramConfig(word_ngrams=None, char_ngrams=(1, 3))).values)
    bits = np.array([np.mean(values >> np.uint64(bit) & np.uint64(1)) for bit in range(64)])
    assert np.abs(bits - 0.5).max() < 4.5 * 0.5 / len(values) ** 0.5
    counts = np.bincount((values & np.uint64(1023)).astype(np.int64), minlength=1024)
    chi_square = ((counts - len(values) / 1024) ** 2 / (len(values) / 1024)).sum()
    assert abs(chi_square - 1023) < 5 * (2 * 1023) ** 0.5


def test_salts_kinds_and_orders_have_hashes_of_their_own() -> None:
    both = NgramConfig(word_ngrams=(1, 2), char_ngrams=(1, 2))
    values = [hash_column(["中文"], both, salt=salt).values for salt in (0, 1, 2)]
    assert len(np.unique(values)) == 3 * 6
    assert hash_column(["文中"], both).values[1] not in values[0]


def test_pairs_hold_the_first_text_then_the_salted_second() -> None:
    firsts, seconds = ["a b", "", "c"], ["中", "a b", ""]
    pairs = hash_pairs(firsts, seconds, CONFIGS[2])
    for index, (text, other) in enumerate(zip(firsts, seconds, strict=True)):
        first, second = hash_column([text], CONFIGS[2]).values, hash_column([other], CONFIGS[2], salt=1).values
        assert pairs.row(index).tolist() == [*first.tolist(), *second.tolist()]
        assert hash_pairs([text], [other], CONFIGS[2]).values.tolist() == pairs.row(index).tolist()


def test_segmented_text_has_chinese_words() -> None:
    config = NgramConfig(word_ngrams=(1, 1), char_ngrams=None, cjk_words=True)
    assert hash_column(["我 来到 北京！"], config).lengths_N.tolist() == [4]


def test_case_and_white_space_do_not_matter() -> None:
    rows = hash_column(["Good  Food", "good\u3000food"], CONFIGS[2])
    assert rows.row(0).tolist() == rows.row(1).tolist()


@pytest.mark.parametrize("config", CONFIGS)
def test_strings_of_hashes_are_found_again(config: NgramConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "BLOCK_CHARACTERS", 8)
    texts = ["Good 中文 food", "", "it's 好吃，好 吃 ok", "x"]
    rows = hash_column(texts, config, salt=3)
    strings = ngram_strings(texts, config, rows.values, salt=3)
    assert set(strings) == set(rows.values.tolist())
    for value, string in strings.items():
        alone = hash_column([string], config, salt=3).values.tolist()
        assert value in alone
    assert ngram_strings(texts, config, np.array([1], dtype=np.uint64)) == {}
    assert ngram_strings([], config, rows.values) == {}


def test_defaults_follow_the_language() -> None:
    assert cjk_share(["很快，好吃 123", "😀"]) == pytest.approx(4 / 7)
    assert cjk_share([]) == 0.0
    assert default_ngrams(0.95) == NgramConfig(word_ngrams=None, char_ngrams=(1, 3))
    assert default_ngrams(0.0) == NgramConfig(word_ngrams=(1, 2), char_ngrams=(2, 5))
    assert default_ngrams(0.4) == NgramConfig(word_ngrams=(1, 2), char_ngrams=(1, 4))
    assert default_ngrams(0.9, segmented=True).cjk_words


@pytest.mark.parametrize("values", [{"word_ngrams": (2, 1)}, {"char_ngrams": (0, 3)}, {"char_ngrams": (1, 9)}])
def test_impossible_sizes_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"must be two numbers with 1 <= smallest <= largest <= 8\. Got \("):
        build(NgramConfig, values, where="train")


def test_a_config_without_any_ngrams_is_refused() -> None:
    with pytest.raises(ConfigError, match="word_ngrams, char_ngrams or both"):
        build(NgramConfig, {"word_ngrams": None, "char_ngrams": None}, where="train")
