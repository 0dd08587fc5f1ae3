"""Drawings of trees: every word and every arc is there, arcs do not run through each other, nothing is markup."""

import re
from xml.etree import ElementTree

import pytest

from yanmo.reporting.tree_drawing import draw_tree

SPACE = "{http://www.w3.org/2000/svg}"
WORDS = ["The", "<b>dog</b>", "barks", "&", "向量"]
HEADS = [2, 3, 0, 3, 3]
RELATIONS = ["det", "nsubj", "root", "cc", "obj"]


def texts(drawing, kind):
    return [one.text for one in ElementTree.fromstring(drawing).iter(f"{SPACE}text") if one.get("class") == kind]


def test_words_and_relations_stand_there_as_they_are():
    drawing = draw_tree(WORDS, HEADS, RELATIONS)
    assert texts(drawing, "word") == WORDS
    assert texts(drawing, "arc") == RELATIONS
    assert "<b>" not in drawing


def test_what_is_wrong_is_marked_and_the_truth_stands_below():
    drawing = draw_tree(WORDS, HEADS, RELATIONS, truth=([2, 3, 0, 5, 3], ["det", "obj", "root", "cc", "obj"]))
    assert texts(drawing, "wrong") == ["nsubj", "cc"]
    assert texts(drawing, "missed") == ["obj", "cc"]


def test_an_arc_is_higher_than_those_that_it_spans():
    drawing = draw_tree(["a", "b", "c", "d"], [4, 3, 4, 0], ["x", "y", "z", "root"])
    heights = [int(one) for one in re.findall(r"V(\d+)H", drawing)]
    longest, inner, other = heights
    # Two that stand side by side are as high as each other.
    assert longest < inner == other


@pytest.mark.parametrize("words", [[], ["one"]])
def test_small_sentences_are_drawn(words):
    drawing = draw_tree(words, [0] * len(words), ["root"] * len(words))
    assert texts(drawing, "word") == words


def test_heads_beyond_the_part_that_is_drawn_are_left_out():
    assert texts(draw_tree(["a", "b"], [5, 1], ["x", "y"]), "arc") == ["y"]
