"""Word lists as people have them: plain words, dictionaries with frequencies and tags, names with spaces."""

import pytest

from yanmo.errors import DataError
from yanmo.text.word_list import read_word_list


def test_words_are_read_without_frequency_and_tag_and_each_once(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\ufeff云计算 3 n\nNew York\nNew York 12\n\n  C++\n4月 5\n2024\n", encoding="utf-8")
    assert read_word_list(path) == ["云计算", "New York", "C++", "4月", "2024"]


def test_what_is_no_word_list_is_said(tmp_path):
    path = tmp_path / "words.txt"
    with pytest.raises(DataError, match="cannot be read"):
        read_word_list(path)
    path.write_bytes(b"\n \n")
    with pytest.raises(DataError, match="has no word"):
        read_word_list(path)
    path.write_bytes("好\n坏".encode("gb18030"))
    with pytest.raises(DataError, match="line 1 is not UTF-8"):
        read_word_list(path)
