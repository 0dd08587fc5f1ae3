"""The best tree is a tree, and no other tree has a larger sum: compared with all trees of small sentences."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.answers.pointers import Pointers
from yanmo.answers.trees import best_tree, is_tree_N, tree_heads_M


def is_tree(heads):
    """By going up from every word."""
    if sum(head == 0 for head in heads) != 1:
        return False
    for start in range(1, len(heads) + 1):
        place, steps = start, 0
        while place:
            place, steps = heads[place - 1], steps + 1
            if steps > len(heads):
                return False
    return True


def all_trees(num_words):
    """Every tree of so many words."""
    choices = itertools.product(range(num_words + 1), repeat=num_words)
    return [heads for heads in choices if is_tree(heads)]


def pointers(scores):
    """Scores of some sentences, each of shape (D, D + 1), as evidence."""
    cells = np.concatenate(([0], np.cumsum([one.shape[1] for one in scores for _ in one]))).astype(np.int64)
    ends = np.concatenate(([0], np.cumsum([len(one) for one in scores]))).astype(np.int64)
    values = [np.array(one, dtype=np.float32) for one in scores]
    for one in values:
        one[np.arange(len(one)), np.arange(1, len(one) + 1)] = -np.inf
    return Pointers(np.concatenate([one.ravel() for one in values]), cells, ends)


@pytest.mark.parametrize("num_words", [1, 2, 3, 4, 5])
def test_the_number_of_trees_with_one_root_is_that_of_labeled_rooted_trees(num_words):
    assert len(all_trees(num_words)) == num_words ** (num_words - 1)


@pytest.mark.parametrize("seed", range(30))
def test_no_tree_has_a_larger_sum(seed):
    generator = np.random.default_rng(seed)
    num_words = int(generator.integers(1, 6))
    scores = generator.normal(size=(num_words, num_words + 1))
    # Ties and words that nobody wants are where shortcuts go wrong.
    scores = np.round(scores) if seed % 3 == 0 else scores * 10 ** (seed % 4)

    def total(heads):
        return sum(scores[place, head] for place, head in enumerate(heads))

    found = best_tree(scores)
    assert is_tree(found.tolist())
    assert total(found) == pytest.approx(max(map(total, all_trees(num_words))))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=0, max_size=7))
def test_rows_of_heads_are_trees_exactly_where_every_way_up_ends_at_the_one_root(heads):
    heads = [min(head, len(heads)) for head in heads]
    found = is_tree_N(np.array(heads, dtype=np.int64), np.array([0, len(heads)]))
    assert found.tolist() == [not heads or is_tree(heads)]


def test_rows_are_judged_each_by_itself():
    heads = np.array([0, 2, 1, 0, 1, 0, 0], dtype=np.int64)
    assert is_tree_N(heads, np.array([0, 1, 3, 3, 5, 7])).tolist() == [True, False, True, True, False]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=5), st.integers(0, 1000))
def test_whatever_scores_say_every_row_becomes_a_tree(lengths, seed):
    generator = np.random.default_rng(seed)
    scores = [generator.choice([-np.inf, 0.0, 1.0, 50.0], size=(length, length + 1)) for length in lengths]
    evidence = pointers(scores)
    heads = tree_heads_M(evidence)
    assert is_tree_N(heads, evidence.ends).all()


def test_a_row_whose_best_heads_form_a_tree_keeps_them():
    scores = np.array([[9.0, 0.0, 1.0], [1.0, 5.0, 0.0]])
    assert tree_heads_M(pointers([scores])).tolist() == [0, 1]


def test_scores_that_are_no_numbers_still_give_a_tree():
    assert is_tree(best_tree(np.full((4, 5), np.nan)).tolist())
