"""What a state does, and the weights that say what is best: tables of buckets; it searches nothing.

Legend: R states, F templates, C relations.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from yanmo.arrays import Array, FloatArray, IntArray
from yanmo.parsing.arc_features import RelationFeatures
from yanmo.parsing.states import LEFT, SHIFT, States
from yanmo.text.units import HashArray

__all__ = ["Table", "Tables", "arc_ends", "take_actions"]


class Table(Protocol):
    """Weights of buckets."""

    @property
    def bits(self) -> int:
        """There are two to this power buckets."""
        ...

    def sums_RC(self, buckets_FR: IntArray) -> FloatArray:
        """Return the sum of the rows of each state."""
        ...


class Tables(Protocol):
    """The weights of a parser, while they are learned or when they are."""

    @property
    def actions(self) -> Table:
        """Of the next action."""
        ...

    @property
    def relations(self) -> Table:
        """Of an arc's relation."""
        ...

    @property
    def num_relations(self) -> int:
        """C."""
        ...


def take_actions(
    states: States, actions_R: IntArray, weights: Tables, hashes_C: HashArray
) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
    """Let the first states act; new arcs get their best relation.

    Args:
        states: They are changed.
        actions_R: What each does, -1 for nothing.
        weights: What scores relations.
        hashes_C: From :func:`hash_relations`.

    Returns:
        Of the new arcs the children, the heads, the scores of the relations, and the buckets of their features.
    """
    arcs = np.flatnonzero(actions_R > SHIFT)
    children_R, heads_R = arc_ends(states, arcs, actions_R[arcs])
    features = RelationFeatures(states, hashes_C, weights.relations.bits)
    buckets_FR = features.buckets_FR(heads_R, children_R)
    scores_RC = weights.relations.sums_RC(buckets_FR)
    states.shift(np.flatnonzero(actions_R == SHIFT))
    states.attach(arcs, children_R, heads_R, scores_RC.argmax(axis=1))
    return children_R, heads_R, scores_RC, buckets_FR


def arc_ends(states: States, chosen: IntArray, actions_R: Array) -> tuple[IntArray, IntArray]:
    """Return the child and the head of the arcs that some states are to make."""
    depth_R = states.depth_R[chosen]
    children_R = states.stack_RD[chosen, depth_R - 1]
    heads_R = np.where(actions_R == LEFT, states.next_R[chosen], states.stack_RD[chosen, depth_R - 2])
    return children_R, heads_R
