"""The arc-hybrid system: whatever is chosen, a tree comes out; what the oracle calls free loses no arc."""

import numpy as np
import pytest

from yanmo.answers.trees import is_tree_N
from yanmo.parsing.arc_actions import arc_ends
from yanmo.parsing.arc_oracle import free_AR
from yanmo.parsing.sentences import WordHashes
from yanmo.parsing.states import SHIFT, States

NOTHING_KNOWN = np.zeros(0, dtype=np.uint64)


def rows_of(*lengths):
    """Sentences of so many words, the longest first."""
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    words = WordHashes.of(["w"] * int(offsets[-1]), np.zeros(int(offsets[-1]), dtype=np.int64), offsets, NOTHING_KNOWN)
    return words.rows(np.arange(len(lengths)))


def step(states, chosen_R):
    arcs = np.flatnonzero(chosen_R != SHIFT)
    children, heads = arc_ends(states, arcs, chosen_R[arcs])
    states.shift(np.flatnonzero(chosen_R == SHIFT))
    states.attach(arcs, children, heads, np.zeros(len(arcs), dtype=np.int64))


def heads_of(states):
    """The heads as numbers from 1, those of the root as 0, and where each sentence ends."""
    rows = states.rows
    begins, lengths = (np.repeat(one, rows.lengths_N) for one in (rows.begins_N, rows.lengths_N))
    places = states.heads_P[rows.places_U()] - begins
    return np.where(places == lengths, 0, places + 1), np.concatenate(([0], np.cumsum(rows.lengths_N)))


def random_tree(num_words, generator):
    """A tree without crossing arcs: the words on either side of a head are trees of their own."""
    heads = [0] * num_words

    def grow(first, last, above):
        if first > last:
            return
        middle = int(generator.integers(first, last + 1))
        heads[middle - 1] = above
        for low, high in ((first, middle - 1), (middle + 1, last)):
            # Several children on a side, as sentences have.
            cut = int(generator.integers(low, high + 2)) if low <= high else low
            grow(low, cut - 1, middle)
            grow(cut, high, middle)

    grow(1, num_words, 0)
    return heads


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_chosen_a_tree_with_one_root_comes_out(seed):
    generator = np.random.default_rng(seed)
    lengths = np.sort(generator.integers(1, 12, size=8))[::-1]
    states = States(rows_of(*lengths), 0)
    for number in range(states.num_steps):
        num = states.num_alive(number)
        valid_AR = states.valid_AR(num)
        assert valid_AR.any(axis=0).all()
        step(states, np.where(valid_AR, generator.random(valid_AR.shape), -1).argmax(axis=0))
    assert is_tree_N(*heads_of(states)).all()


@pytest.mark.parametrize("seed", range(20))
def test_free_actions_alone_build_the_true_tree_whichever_of_them_is_taken(seed):
    generator = np.random.default_rng(seed)
    lengths = np.sort(generator.integers(1, 12, size=8))[::-1]
    rows = rows_of(*lengths)
    trees = [random_tree(length, generator) for length in lengths.tolist()]
    gold_P = np.arange(len(rows.words_P))
    for begin, length, tree in zip(rows.begins_N.tolist(), lengths.tolist(), trees, strict=True):
        gold_P[begin : begin + length] = [begin + (head - 1 if head else length) for head in tree]
    states = States(rows, 0)
    for number in range(states.num_steps):
        num = states.num_alive(number)
        free = free_AR(states, num, gold_P)
        step(states, np.where(free, generator.random(free.shape), -1).argmax(axis=0))
    assert heads_of(states)[0].tolist() == [head for tree in trees for head in tree]


def test_the_sides_of_a_head_know_their_outermost_children():
    states = States(rows_of(4), 0)
    # 1 <- 3, 2 <- 3, 3 -> 4
    for action in (SHIFT, 1, 1, SHIFT, SHIFT, 2, 1):
        assert states.valid_AR(1)[action, 0]
        step(states, np.array([action]))
    assert heads_of(states)[0].tolist() == [3, 3, 0, 3]
    first, second, last, _ = states.children_4P[:, 2].tolist()
    assert (first, second, last) == (0, 1, 3)
    assert states.counts_2P[:, 2].tolist() == [2, 1]
