"""A sentence a line: words between spaces, words with their tags, words and tags in two files."""

from pathlib import Path

import pytest

from yanmo.data.tagged.word_lines import read_aligned, read_segmented, read_tagged_words, tags_beside
from yanmo.errors import DataError


def tagged(*lines):
    return [(one.line, one.words, one.tags) for one in read_tagged_words(Path("a.txt"), lines)]


def test_words_stand_between_white_space_of_any_kind():
    rows = read_segmented(["上海  推\u3000迎", "", " ２００７ "])
    assert [(one.line, one.words) for one in rows] == [(1, ["上海", "推", "迎"]), (3, ["２００７"])]


def test_the_last_sign_parts_a_word_from_its_tag():
    assert tagged("the/DT //SYM 1/2/CD x/_") == [(1, ["the", "/", "1/2", "x"], ["DT", "SYM", "CD", None])]
    assert tagged("", "the_DT a_b_NN")[0] == (2, ["the", "a_b"], ["DT", "NN"])
    assert tagged("[中央/n 电视台/n]nt 和/c")[0] == (1, ["中央", "电视台", "和"], ["n", "n", "c"])


@pytest.mark.parametrize("line", ["in/IN Rome", "in/IN Rome_NNP", "in/IN /NNP"])
def test_a_word_without_a_tag_is_named(line):
    with pytest.raises(DataError, match=r"a.txt line 1 has a word without a tag: '(Rome|Rome_NNP|/NNP)'."):
        tagged(line)


def aligned(words, tags):
    rows = read_aligned(Path("seq.in"), words.split("\n"), Path("seq.out"), tags.split("\n"))
    return [(one.line, one.words, one.tags) for one in rows]


def test_two_files_are_read_line_by_line():
    assert aligned("in rome \n\nat noon", "O B-city\n\nO _ ") == [
        (1, ["in", "rome"], ["O", "B-city"]),
        (3, ["at", "noon"], ["O", None]),
    ]


@pytest.mark.parametrize(
    ("tags", "line", "count"), [("O\nO", 1, 1), ("O O O\nO", 1, 3), ("O O", 2, 0), ("O O\nO\nO", 3, 1)]
)
def test_lines_that_do_not_fit_are_named(tags, line, count):
    num_words = 2 if line == 1 else 1 if line == 2 else 0
    with pytest.raises(DataError) as caught:
        aligned("in rome\nnoon", tags)
    assert caught.value.message == f"seq.out line {line} has {count} tags, but seq.in has {num_words} words there."


@pytest.mark.parametrize("name", ["seq.in", "train.seq.in", "words.in", "seq.in.gz"])
def test_the_tags_stand_beside_the_words(tmp_path, name):
    beside = tmp_path / name.replace(".in", ".out")
    with pytest.raises(DataError, match="There is no file of tags beside"):
        tags_beside(tmp_path / name)
    beside.write_text("O")
    assert tags_beside(tmp_path / name) == beside


def test_a_file_that_is_not_called_so_has_no_tags_beside_it(tmp_path):
    with pytest.raises(DataError, match="There is no file of tags beside"):
        tags_beside(tmp_path / "in_words.txt")
