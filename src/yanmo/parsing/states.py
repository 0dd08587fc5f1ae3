"""States of the arc-hybrid system, many at once: stacks, buffers and the arcs that were made; it knows no score.

Shift takes the next word onto the stack. Left makes the next word, or the root, the head of the top of the stack; right
makes the word below the top its head; both take the top away. A sentence of n words ends after 2 n steps whatever is
chosen, with one head a word and one word at the root: the root takes only the last word that is left.

Legend: R states, P places of all their rows, A actions.

Source: Kuhlmann, Gómez-Rodríguez, Satta 2011, "Dynamic Programming Algorithms for Transition-Based Dependency Parsers",
section 5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Array, IntArray
from yanmo.parsing.sentences import Rows

__all__ = ["LEFT", "NUM_ACTIONS", "RIGHT", "SHIFT", "States"]

SHIFT, LEFT, RIGHT = range(3)
NUM_ACTIONS = 3
DEPTH = 3
"""Entries below every stack that are nothing: so deep do features look."""


class States:
    """R sentences that are being parsed, each as far as all others; their first words are on the stack.

    Args:
        rows: The sentences.
        no_relation: What stands for the relation of a word without a head.

    Attributes:
        rows: The sentences.
        nothing_R: A place of each row that is nothing.
        roots_R: The places of the roots.
        stack_RD: Places on each stack, from its bottom.
        depth_R: How many entries each stack has, those that are nothing included.
        next_R: The place of the next word, or of the root.
        heads_P: The place of each word's head, its own where it has none yet.
        relations_P: The relation to it.
        children_4P: The first and the second of the children on the left, the last and the second to last of those on
            the right; nothing where there is none.
        counts_2P: How many children stand on the left and on the right.
    """

    def __init__(self, rows: Rows, no_relation: int) -> None:
        num_states, num_places = len(rows.lengths_N), len(rows.words_P)
        self.rows = rows
        self.nothing_R: IntArray = rows.begins_N + rows.width - 1
        self.roots_R: IntArray = rows.begins_N + rows.lengths_N
        self.stack_RD = np.repeat(self.nothing_R[:, None], DEPTH + rows.width - 2, axis=1)
        self.stack_RD[:, DEPTH] = rows.begins_N
        self.depth_R: IntArray = np.full(num_states, DEPTH + 1)
        self.next_R: IntArray = rows.begins_N + 1
        self.heads_P: IntArray = np.arange(num_places)
        self.relations_P: IntArray = np.full(num_places, no_relation)
        self.children_4P: IntArray = np.tile(np.repeat(self.nothing_R, rows.width), (4, 1))
        self.counts_2P: IntArray = np.zeros((2, num_places), dtype=np.int64)

    @property
    def num_steps(self) -> int:
        """How many steps the longest sentence takes."""
        return 2 * int(self.rows.lengths_N.max(initial=0)) - 1

    def num_alive(self, step: int) -> int:
        """Return how many states, the first ones, have a step of this number to make."""
        return int(np.searchsorted(-(2 * self.rows.lengths_N - 1), -step, side="left"))

    def top(self, num: int, below: int = 0) -> IntArray:
        """Return the places on top of the first stacks, or so far below it."""
        return np.asarray(self.stack_RD[np.arange(num), self.depth_R[:num] - 1 - below])

    def valid_AR(self, num: int) -> npt.NDArray[np.bool_]:
        """Return which actions the first states may take, bool, shape (3, num)."""
        depth_R, is_root_R = self.depth_R[:num] - DEPTH, self.next_R[:num] == self.roots_R[:num]
        may_left_R = (depth_R >= 1) & (~is_root_R | (depth_R == 1))
        return np.stack([~is_root_R, may_left_R, depth_R >= 2])

    def shift(self, chosen: IntArray) -> None:
        """Let some states shift."""
        self.stack_RD[chosen, self.depth_R[chosen]] = self.next_R[chosen]
        self.depth_R[chosen] += 1
        self.next_R[chosen] += 1

    def attach(self, chosen: IntArray, children_R: IntArray, heads_R: IntArray, relations_R: Array) -> None:
        """Let some states take the top of their stack away.

        Args:
            chosen: The states.
            children_R: The top of each stack.
            heads_R: Its head: the next word or the one below.
            relations_R: Its relation to it.
        """
        self.depth_R[chosen] -= 1
        self.heads_P[children_R] = heads_R
        self.relations_P[children_R] = relations_R
        # In flat arrays, a side's two rows and its counts are as far apart as the sides are.
        is_right_R = (children_R > heads_R).astype(np.int64)
        num_places = len(self.heads_P)
        outer_R = 2 * num_places * is_right_R + heads_R
        children = self.children_4P.reshape(-1)
        children[outer_R + num_places] = children[outer_R]
        children[outer_R] = children_R
        self.counts_2P.reshape(-1)[num_places * is_right_R + heads_R] += 1

    def copy_from(self, other: States, sources_R: IntArray) -> None:
        """Become copies of states of another batch, which has the same sentences row by row.

        Args:
            other: Of rows as wide as these.
            sources_R: The state to copy, of each.
        """
        width, num_states = self.rows.width, len(sources_R)
        shift_R = (np.arange(num_states) - sources_R) * width
        self.stack_RD[:num_states] = other.stack_RD[sources_R] + shift_R[:, None]
        self.depth_R[:num_states] = other.depth_R[sources_R]
        self.next_R[:num_states] = other.next_R[sources_R] + shift_R
        size = num_states * width
        for ours_P, theirs_P in (
            (self.heads_P, other.heads_P),
            *zip(self.children_4P, other.children_4P, strict=True),
        ):
            ours_P[:size] = (theirs_P.reshape(-1, width)[sources_R] + shift_R[:, None]).ravel()
        for ours_P, theirs_P in (
            (self.relations_P, other.relations_P),
            *zip(self.counts_2P, other.counts_2P, strict=True),
        ):
            ours_P[:size] = theirs_P.reshape(-1, width)[sources_R].ravel()
