"""Which actions lose no arc of the true tree: the dynamic oracle of the arc-hybrid system; it knows no score.

Legend: R states, P places, A actions.

Source: Goldberg, Nivre 2013, "Training Deterministic Parsers with Non-Deterministic Oracles", section 5.3 (arc-hybrid).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray
from yanmo.parsing.states import DEPTH, LEFT, RIGHT, SHIFT, States

__all__ = ["free_AR"]


def free_AR(states: States, num: int, gold_P: IntArray) -> npt.NDArray[np.bool_]:
    """Return which actions cost the first states nothing, bool, shape (3, num); at least one, and valid ones alone.

    In a tree whose arcs cross every action may cost something: then all valid ones are free.

    Args:
        states: At any step.
        num: How many of them.
        gold_P: The place of each word's true head; that of a place without one is its own.
    """
    valid_AR = states.valid_AR(num)
    next_R, top_R, below_R = states.next_R[:num], states.top(num), states.top(num, 1)
    head_R, next_head_R = gold_P[top_R], gold_P[next_R]
    stack_RD = states.stack_RD[:num, DEPTH:]
    on_stack_RD = np.arange(stack_RD.shape[1]) < (states.depth_R[:num] - DEPTH)[:, None]
    # A word that is shifted can no longer get its head from, nor be the head of, what lies on the stack; but for the
    # top, which may still become its head.
    is_below_RD = np.arange(stack_RD.shape[1]) < (states.depth_R[:num] - DEPTH - 1)[:, None]
    loses_R = ((stack_RD == next_head_R[:, None]) & is_below_RD).any(axis=1)
    loses_R |= ((gold_P[stack_RD] == next_R[:, None]) & on_stack_RD).any(axis=1)
    # A top that is taken away loses its head and its children in the buffer.
    width = states.rows.width
    row_RW = np.arange(num)[:, None] * width + np.arange(width)
    loses_child_R = ((gold_P.reshape(-1, width)[:num] == top_R[:, None]) & (row_RW >= next_R[:, None])).any(axis=1)
    ahead_R = head_R > next_R
    free_AR = valid_AR.copy()
    free_AR[SHIFT] &= ~loses_R
    free_AR[LEFT] &= ~loses_child_R & ~ahead_R & ((head_R != below_R) | (below_R == states.nothing_R[:num]))
    free_AR[RIGHT] &= ~loses_child_R & ~ahead_R & (head_R != next_R)
    none_R = ~free_AR.any(axis=0)
    free_AR[:, none_R] = valid_AR[:, none_R]
    return free_AR
