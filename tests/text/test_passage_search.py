"""BM25 over passages: the scores of its formula by hand, words and ideographs, and what is not there."""

import math

import numpy as np
import pytest

from yanmo.text.passage_search import PassageSearch

PASSAGES = ["Rosa lives in Rome .", "Anna lives in Oslo and Anna sings", "北京大学在北京", "东京在日本"]


def test_scores_are_those_of_the_formula():
    found = PassageSearch(["a b", "a a c d"]).scores_N("a")
    rarity = math.log1p((2 - 2 + 0.5) / (2 + 0.5))
    first, second = (1.2 * (0.25 + 0.75 * length / 3) for length in (2, 4))
    assert found == pytest.approx([rarity * 2.2 / (1 + first), rarity * 2 * 2.2 / (2 + second)])


@pytest.mark.parametrize(
    ("question", "best"), [("Where does ANNA live in?", 1), ("Who is in Rome?", 0), ("北大在哪里", 2), ("东京", 3)]
)
def test_the_passage_that_is_most_like_a_question_is_the_first(question, best):
    assert PassageSearch(PASSAGES).best(question, 2)[0] == best


def test_neighboring_ideographs_tell_passages_of_the_same_ideographs_apart():
    search = PassageSearch(["京东 在 东京", "京 东 在 东 京"])
    assert search.best("京东", 1) == [0]


def test_what_no_passage_has_says_nothing_and_so_does_an_empty_question():
    search = PassageSearch(PASSAGES)
    assert not search.scores_N("xylophone").any()
    assert search.best("", 9) == [0, 1, 2, 3]


def test_passages_without_words_are_never_like_anything():
    found = PassageSearch(["", "a", " "]).scores_N("a")
    assert np.flatnonzero(found).tolist() == [1]


def test_a_term_as_long_as_a_file_takes_no_room_for_the_others():
    passages = [f"word{number} {number}" for number in range(2000)] + ["x" * 200_000 + " needle"]
    assert PassageSearch(passages).best("needle", 1) == [2000]
