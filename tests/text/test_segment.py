"""The segmenter cuts every text as if it stood alone and obeys its user dictionary."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import DataError
from yanmo.text.segment import Segmenter, read_user_dict

TEXTS = st.lists(
    st.one_of(st.text("我来到北京清华大学学习编程 a1.\t\x1e\n\ud800，", max_size=12), st.text(max_size=8)), max_size=6
)
SEGMENTER = Segmenter()


@given(texts=TEXTS)
@settings(max_examples=200, deadline=None)
def test_a_column_is_cut_as_its_texts_are_alone(texts: list[str]) -> None:
    assert SEGMENTER.segment_column(texts) == [SEGMENTER.segment_column([text])[0] for text in texts]


def test_words_stand_between_single_spaces() -> None:
    assert SEGMENTER.segment_column(["我来到北京  清华大学", "", " good food "]) == [
        "我 来到 北京 清华大学",
        "",
        "good food",
    ]


@pytest.mark.parametrize(
    "lines", ["研磨机器人\n", "研磨机器人 1000\n", "研磨机器人 1000 n\r\n\r\n", "\ufeff研磨机器人 n"]
)
def test_words_of_the_user_dictionary_stay_whole(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "user_dict.txt"
    path.write_bytes(lines.encode())
    assert Segmenter(path).segment_column(["这是研磨机器人吗"]) == ["这是 研磨机器人 吗"]
    assert "研磨机器人" not in SEGMENTER.segment_column(["这是研磨机器人吗"])[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("研磨 many words", "line 2: '研磨 many words' is not an entry"),
        ("研磨 3 n n", "line 2: '研磨 3 n n' is not an entry"),
        ("研磨 99999999999999999999999", "line 2: '研磨 99999999999999999999999' is not an entry"),
        ("研磨 -3", "line 2: '-3' is neither a frequency nor a tag"),
        ("卡尔·马克思 3", "line 2: the word '卡尔·马克思' holds a character"),
    ],
)
def test_a_bad_line_is_an_error_with_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "user_dict.txt"
    path.write_text(f"言模\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        Segmenter(path)
    assert str(path) in str(caught.value)
    assert "hint:" in str(caught.value)


def test_a_wrong_byte_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "user_dict.txt"
    path.write_bytes("言模\n".encode() + "研磨".encode("gb18030"))
    with pytest.raises(DataError, match="line 2 is not UTF-8"):
        read_user_dict(path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_user_dict(tmp_path / "none.txt")
