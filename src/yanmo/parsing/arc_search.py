"""Greedy parsing: the best action of every state at every step, and the best relation of every arc; it learns nothing.

Legend: R states, F templates, A actions, C relations, P places of all rows.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from yanmo.arrays import Array, FloatArray, IntArray
from yanmo.parsing.arc_features import ActionFeatures, RelationFeatures
from yanmo.parsing.arc_weights import ArcWeights
from yanmo.parsing.sentences import Rows, hash_relations
from yanmo.parsing.states import LEFT, NUM_ACTIONS, SHIFT, States

__all__ = ["Parsed", "arc_ends", "parse_greedily"]


class Parsed(Struct, frozen=True):
    """The trees of the sentences of a batch.

    Attributes:
        heads_P: The place of each word's head.
        margins_P: By how much the action that gave a word its head was better than any other, at least 0.
        relations_PC: The scores of the relations of each word to its head.
    """

    heads_P: IntArray
    margins_P: FloatArray
    relations_PC: FloatArray


def parse_greedily(rows: Rows, weights: ArcWeights) -> Parsed:
    """Return the trees that the best action at every step gives."""
    states = States(rows, weights.num_relations)
    hashes_C = hash_relations(weights.num_relations)
    actions = ActionFeatures(states, hashes_C, weights.actions.bits)
    relations = RelationFeatures(states, hashes_C, weights.relations.bits)
    num_places = len(rows.words_P)
    margins_P = np.zeros(num_places, dtype=np.float32)
    relations_PC = np.zeros((num_places, weights.num_relations), dtype=np.float32)
    for step in range(states.num_steps):
        num = states.num_alive(step)
        scores_RA = weights.actions.sums_RC(actions.buckets_FR(num))[:, :NUM_ACTIONS]
        scores_RA[~states.valid_AR(num).T] = -np.inf
        chosen_R = scores_RA.argmax(axis=1)
        best_R = scores_RA[np.arange(num), chosen_R]
        arcs = np.flatnonzero(chosen_R != SHIFT)
        children, heads = arc_ends(states, arcs, chosen_R[arcs])
        scores_RC = weights.relations.sums_RC(relations.buckets_FR(heads, children))
        relations_PC[children] = scores_RC
        scores_RA[np.arange(num), chosen_R] = -np.inf
        margins_P[children] = (best_R - scores_RA.max(axis=1))[arcs]
        states.shift(np.flatnonzero(chosen_R == SHIFT))
        states.attach(arcs, children, heads, scores_RC.argmax(axis=1))
    return Parsed(states.heads_P, margins_P, relations_PC)


def arc_ends(states: States, chosen: IntArray, actions_R: Array) -> tuple[IntArray, IntArray]:
    """Return the child and the head of the arcs that some states are to make."""
    depth_R = states.depth_R[chosen]
    children_R = states.stack_RD[chosen, depth_R - 1]
    heads_R = np.where(actions_R == LEFT, states.next_R[chosen], states.stack_RD[chosen, depth_R - 2])
    return children_R, heads_R
