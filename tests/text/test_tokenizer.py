"""Tokenizers are the same in every run, encode whole columns, and say what they cut off or do not know."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, processors

from yanmo.errors import ArtifactError
from yanmo.text.inputs import Windows
from yanmo.text.tokenizer import (
    SPECIAL_TOKENS,
    encode_column,
    open_tokenizer,
    train_wordlevel,
    train_wordpiece,
    truncating,
)

TEXTS = [
    "The food was good, really good!",
    "送餐很快，好吃 good",
    "playing played plays player",
    "very slow, slower",
] * 3


@pytest.fixture(scope="module")
def wordpiece() -> Tokenizer:
    return train_wordpiece(TEXTS, 200)


def test_special_tokens_come_first_and_frame_the_text(wordpiece: Tokenizer) -> None:
    assert [wordpiece.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert wordpiece.encode("好吃 Good").tokens == ["[CLS]", "好", "吃", "good", "[SEP]"]
    pair = wordpiece.encode("好", "good")
    assert pair.tokens == ["[CLS]", "好", "[SEP]", "good", "[SEP]"]
    assert pair.type_ids == [0, 0, 0, 1, 1]


def test_case_is_kept_on_request() -> None:
    tokenizer = train_wordpiece(["Good good"] * 3, 50, lowercase=False)
    assert {"Good", "good"} <= set(tokenizer.get_vocab())


def test_training_is_the_same_in_every_process(wordpiece: Tokenizer, tmp_path: Path) -> None:
    code = (
        "import sys; from yanmo.text.tokenizer import *\n"
        f"sys.stdout.buffer.write(train_wordpiece({TEXTS!r}, 200).to_str().encode())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert run.stdout.decode() == wordpiece.to_str()


def test_the_vocabulary_has_its_size_and_no_holes() -> None:
    for size in (20, 40, 60):
        tokenizer = train_wordpiece(TEXTS, size)
        assert tokenizer.get_vocab_size() <= size
        assert sorted(tokenizer.get_vocab().values()) == list(range(tokenizer.get_vocab_size()))


@pytest.mark.parametrize("size", range(16, 60))
def test_the_vocabulary_is_full_and_not_fuller_where_there_is_enough_to_learn(size: int) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [one + other for one, other in zip(letters, letters[1:] + letters[0], strict=True)]
    vocabulary = train_wordpiece([" ".join(words)] * 2, size).get_vocab()
    assert len(vocabulary) == size
    of_a_character = {token for token in vocabulary if len(token.removeprefix("##")) == 1}
    # A letter takes two places, and a fifth of all are left for merges; the special tokens have theirs in any case.
    assert len(of_a_character) == min(int(0.8 * size), size - 5) // 2 * 2


def test_special_tokens_in_a_text_are_text(wordpiece: Tokenizer) -> None:
    ids = encode_column(wordpiece, ["good [SEP] [PAD] good"], max_length=32).ids.values
    assert (ids == 3).sum() == 1
    assert (ids == 0).sum() == 0


def test_a_unigram_model_takes_no_text_for_the_end_of_text() -> None:
    tokenizer = Tokenizer(models.Unigram([("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("g", -1.0)], unk_id=2))
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    assert encode_column(tokenizer, ["g</s>g<pad>"]).ids.values.tolist() == [3, 2, 3, 2, 1]
    assert encode_column(tokenizer, ["g</s>"], ["</s>"]).ids.values.tolist() == [3, 2, 1, 2, 1]
    windows = encode_column(tokenizer, ["g</s>" * 2], max_length=3, windows=Windows(0.0))
    assert windows.ids.values.tolist() == [3, 2, 1, 3, 2, 1]


def test_word_level_tokens_are_the_words_between_spaces() -> None:
    tokenizer = train_wordlevel(["我 来到 北京 OK", "我 爱 北京 ok"], 100)
    assert tokenizer.get_vocab() == dict(zip([*SPECIAL_TOKENS, "ok", "北京", "我"], range(8), strict=True))
    encoded = encode_column(tokenizer, ["我 去 北京 Ok", ""])
    assert encoded.ids.row(0).tolist() == [2, 7, 1, 6, 5, 3]
    assert encoded.ids.row(1).tolist() == [2, 3]
    assert encoded.num_unknown_N.tolist() == [1, 0]
    assert train_wordlevel(["[SEP] [SEP]"], 100, lowercase=False).get_vocab_size() == len(SPECIAL_TOKENS)
    assert train_wordlevel(["a a b b c"], 6, min_frequency=1).get_vocab_size() == 6


def test_a_column_has_the_ids_of_its_texts_alone(wordpiece: Tokenizer) -> None:
    tokenizer = truncating(wordpiece, 8)
    texts = ["", "good", "好" * 20, "龘 good", "x" * 1000]
    column = encode_column(tokenizer, texts, max_length=8)
    assert column.type_ids is None
    assert column.ids.values.dtype == np.int64
    for index, text in enumerate(texts):
        alone = encode_column(tokenizer, [text], max_length=8)
        assert alone.ids.values.tolist() == column.ids.row(index).tolist()
        assert alone.truncated_N[0] == column.truncated_N[index]
    assert column.truncated_N.tolist() == [False, False, True, False, True]
    assert column.num_unknown_N[3] == 1
    assert column.ids.lengths_N.max() == 8


def test_a_text_that_just_fits_is_not_truncated(wordpiece: Tokenizer) -> None:
    encoded = encode_column(wordpiece, ["好" * 6, "好" * 7], max_length=8)
    assert encoded.truncated_N.tolist() == [False, True]
    assert encoded.ids.lengths_N.tolist() == [8, 8]


def test_pairs_have_type_ids_and_lose_their_longer_text_first(wordpiece: Tokenizer) -> None:
    encoded = encode_column(wordpiece, ["好", "好" * 30], ["吃吃", "吃"], max_length=8)
    assert encoded.type_ids is not None
    assert encoded.type_ids.row(0).tolist() == [0, 0, 0, 1, 1, 1]
    assert encoded.truncated_N.tolist() == [False, True]
    good, eat = wordpiece.token_to_id("好"), wordpiece.token_to_id("吃")
    assert encoded.ids.row(1).tolist() == [2, good, good, good, good, 3, eat, 3]


def test_windows_hold_all_tokens_each_with_special_tokens_and_some_of_the_one_before(wordpiece: Tokenizer) -> None:
    tokens = wordpiece.encode("好 good 吃 " * 10, add_special_tokens=False).ids
    encoded = encode_column(wordpiece, ["好", "好 good 吃 " * 10, ""], max_length=8, windows=Windows(0.34))
    assert encoded.text_W is not None
    assert encoded.text_W[:3].tolist() == [0, 1, 2]
    assert set(encoded.text_W[3:].tolist()) == {1}
    rows = [encoded.ids.row(row).tolist() for row in range(len(encoded.ids)) if encoded.text_W[row] == 1]
    assert all((row[0], row[-1]) == (2, 3) and len(row) <= 8 for row in rows)
    read = rows[0][1:-1]
    for row in rows[1:]:
        assert row[1:3] == read[-2:]
        read += row[3:-1]
    assert read == tokens
    assert encoded.num_special == 2
    assert not encoded.truncated_N.any()


def test_texts_that_fit_have_no_windows_and_long_ones_no_more_than_allowed(wordpiece: Tokenizer) -> None:
    fitting = encode_column(wordpiece, ["好" * 6, ""], max_length=8, windows=Windows())
    assert fitting.text_W is None
    for num_tokens, num_windows, is_truncated in ((7, 2, False), (6 * 3, 3, False), (6 * 3 + 1, 3, True)):
        encoded = encode_column(wordpiece, ["好" * num_tokens], max_length=8, windows=Windows(0.0, 3))
        assert (len(encoded.ids), encoded.truncated_N.tolist()) == (num_windows, [is_truncated])


def test_every_window_of_a_pair_has_the_token_types_of_a_pair(wordpiece: Tokenizer) -> None:
    encoded = encode_column(wordpiece, ["好" * 9, "好"], ["吃" * 10, "吃"], max_length=11, windows=Windows())
    assert encoded.type_ids is not None
    assert encoded.text_W is not None
    seen = set()
    for row in range(len(encoded.ids)):
        ids, types = encoded.ids.row(row).tolist(), encoded.type_ids.row(row).tolist()
        border = ids.index(3) + 1
        assert types == [0] * border + [1] * (len(ids) - border)
        if encoded.text_W[row] == 0:
            seen.add((border - 2, len(ids) - border - 1))
    assert len(seen) > 1
    assert not encoded.truncated_N.any()


def test_encoding_leaves_the_tokenizer_as_it_was(wordpiece: Tokenizer) -> None:
    before = wordpiece.to_str()
    encode_column(wordpiece, TEXTS, max_length=5)
    assert wordpiece.to_str() == before
    ready = truncating(wordpiece, 5)
    assert truncating(ready, 5) is ready
    assert truncating(ready, 6) is not ready


def test_a_tokenizer_that_truncates_by_itself_takes_special_tokens_of_a_text_for_text_all_the_same(
    wordpiece: Tokenizer, tmp_path: Path
) -> None:
    own = Tokenizer.from_str(wordpiece.to_str())
    own.enable_truncation(8)
    own.save(str(tmp_path / "tokenizer.json"))
    opened = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    columns = [
        encode_column(one, ["[SEP]"], max_length=8) for one in (opened, open_tokenizer(tmp_path / "tokenizer.json"))
    ]
    assert [(column.ids.values == 3).sum() for column in columns] == [1, 1]
    assert columns[0].ids.values.tolist() == columns[1].ids.values.tolist()


def test_no_texts_give_no_rows(wordpiece: Tokenizer) -> None:
    encoded = encode_column(wordpiece, [], [])
    assert len(encoded.ids) == len(encoded.truncated_N) == len(encoded.num_unknown_N) == 0


def test_a_huge_text_costs_no_more_than_the_tokens_kept(wordpiece: Tokenizer) -> None:
    start = time.perf_counter()
    encoded = encode_column(wordpiece, ["好" * 5_000_000], max_length=64)
    assert time.perf_counter() - start < 2
    assert encoded.truncated_N.tolist() == [True]


def test_a_saved_tokenizer_loads_as_it_was(wordpiece: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    wordpiece.save(str(path))
    loaded = open_tokenizer(path, max_length=16)
    assert (encode_column(loaded, TEXTS, max_length=16).ids.values == encode_column(wordpiece, TEXTS).ids.values).all()
    assert encode_column(loaded, ["[SEP]"], max_length=16).ids.values.tolist().count(3) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": 1}', b"\xff\xfe", None])
def test_a_broken_file_is_an_artifact_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"tokenizer\.json") as caught:
        open_tokenizer(path)
    assert "hint:" in str(caught.value)
