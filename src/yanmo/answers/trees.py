"""Trees of head choices: whether there is one, and the best one that there is; it knows no relation and no text.

A word's head is a cell: 0 is the root, cell i the i-th word of the row. A tree has one word at the root, and from every
word the way up ends there.

Legend: N rows, M words of all of them, D words of one row, H their cells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.answers.pointers import Pointers
from yanmo.arrays import Array, Doubles, IntArray

__all__ = ["best_tree", "is_tree_N", "tree_heads_M"]

LEAST = -1e4
"""In nats, what counts for a score of -inf: finite, so that every row has a tree whatever its words say."""
ROOT = 0


def tree_heads_M(heads: Pointers) -> IntArray:
    """Return the head of every word in the best tree of its row, int64, shape (M,).

    Args:
        heads: Logarithms of probabilities, or scores; a word may not be its own head.
    """
    heads_M, _ = heads.best_M()
    broken = np.flatnonzero(~is_tree_N(heads_M, heads.ends))
    for row in broken.tolist():
        first, last = int(heads.ends[row]), int(heads.ends[row + 1])
        cells = heads.values_K[heads.cells[first] : heads.cells[last]]
        heads_M[first:last] = best_tree(cells.reshape(last - first, last - first + 1))
    return heads_M


def is_tree_N(heads_M: IntArray, ends: IntArray) -> npt.NDArray[np.bool_]:
    """Return which rows are trees, bool, shape (N,); a row without words is one.

    Args:
        heads_M: The head of each word.
        ends: Row i has the words ``ends[i]`` to ``ends[i + 1]``.
    """
    lengths_N = ends[1:] - ends[:-1]
    num_words = int(ends[-1])
    begins_M = np.repeat(ends[:-1], lengths_N)
    # The root of all rows stands behind the last word and is its own head.
    above = np.append(np.where(heads_M == ROOT, num_words, begins_M + heads_M - 1), num_words)
    # Twice as far at every step; no way is longer than its row.
    for _ in range(int(lengths_N.max(initial=0)).bit_length()):
        above = above[above]
    reaches_M = above[:-1] == num_words
    sums = np.concatenate((np.zeros((2, 1), dtype=np.int64), np.cumsum([reaches_M, heads_M == ROOT], axis=1)), axis=1)
    reached_N, roots_N = sums[:, ends[1:]] - sums[:, ends[:-1]]
    return np.asarray((reached_N == lengths_N) & ((roots_N == 1) | (lengths_N == 0)))


def best_tree(scores_DH: Array) -> IntArray:
    """Return the heads of the tree with the largest sum of scores, int64, shape (D,).

    Args:
        scores_DH: How well each cell suits as the head of each word, shape (D, D + 1); its own cell is not looked at.

    Source: Chu, Liu 1965, and Edmonds 1967, as McDonald et al. 2005, "Non-projective Dependency Parsing using Spanning
    Tree Algorithms", section 3.1. Differs: every arc from the root costs more than all others can differ by, so that
    the best tree has as few as possible, which is one.
    """
    num_words = len(scores_DH)
    scores = np.full((num_words + 1, num_words + 1), -np.inf)
    # Rows of equal sums stay trees: what is not a number counts as impossible.
    scores[1:] = np.nan_to_num(scores_DH.astype(np.float64), nan=LEAST, posinf=-LEAST, neginf=LEAST)
    np.fill_diagonal(scores, -np.inf)
    inside = scores[1:][np.isfinite(scores[1:])]
    scores[1:, ROOT] -= (np.ptp(inside) + 1) * (num_words + 1)
    return np.asarray(_arborescence(scores)[1:])


def _arborescence(scores: Doubles) -> IntArray:
    """Return the head of every node in the best tree from node 0 down, whose own head is 0.

    Args:
        scores: Of each node (row) below each other one (column), -inf on the diagonal and in row 0.
    """
    merges: list[tuple[IntArray, ...]] = []
    # A level a cycle, and only what is needed to take it apart again is kept of each.
    while True:
        heads = scores.argmax(axis=1)
        heads[ROOT] = ROOT
        cycle = _find_cycle(heads)
        if cycle is None:
            break
        # The cycle becomes one node, behind those that stay.
        is_inside = np.zeros(len(scores), dtype=np.bool_)
        is_inside[cycle] = True
        outside = np.flatnonzero(~is_inside)
        lost = scores[cycle] - scores[cycle, heads[cycle]][:, None]
        entries = lost[:, outside].argmax(axis=0)
        leavings = scores[np.ix_(outside, cycle)].argmax(axis=1)
        smaller = np.full((len(outside) + 1, len(outside) + 1), -np.inf)
        smaller[:-1, :-1] = scores[np.ix_(outside, outside)]
        smaller[:-1, -1] = scores[outside, cycle[leavings]]
        smaller[-1, :-1] = lost[entries, outside]
        smaller[ROOT] = -np.inf
        merges.append((heads, cycle, outside, entries, leavings))
        scores = smaller
    found = np.asarray(heads)
    for before, cycle, outside, entries, leavings in reversed(merges):
        merged = before.copy()
        into_cycle = found[:-1] == len(outside)
        merged[outside] = np.where(into_cycle, cycle[leavings], outside[np.minimum(found[:-1], len(outside) - 1)])
        merged[cycle[entries[found[-1]]]] = outside[found[-1]]
        merged[ROOT] = ROOT
        found = merged
    return found


def _find_cycle(heads: IntArray) -> IntArray | None:
    """Return the nodes of a cycle, None where there is none."""
    seen = np.zeros(len(heads), dtype=np.int64)
    above = heads.tolist()
    for start in range(1, len(above)):
        node = start
        while not seen[node] and node != ROOT:
            seen[node] = start
            node = above[node]
        if node != ROOT and seen[node] == start:
            cycle = [node]
            while above[cycle[-1]] != node:
                cycle.append(above[cycle[-1]])
            return np.array(cycle, dtype=np.int64)
    return None
