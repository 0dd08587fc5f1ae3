"""Parsing: the best action of every state at every step, or the best sequence of a beam; it learns nothing.

Legend: R states, F templates, A actions, C relations, P places of all rows, T steps.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from yanmo.arrays import FloatArray, IntArray
from yanmo.parsing.arc_actions import Tables, take_actions
from yanmo.parsing.arc_beam import Beam
from yanmo.parsing.arc_features import ActionFeatures
from yanmo.parsing.sentences import Rows, hash_relations
from yanmo.parsing.states import NUM_ACTIONS, States

__all__ = ["Parsed", "parse_rows"]


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


def parse_rows(rows: Rows, weights: Tables, *, beam: int = 1) -> Parsed:
    """Return the trees that the best action at every step gives, or the best sequence that a beam has found.

    Args:
        rows: The sentences.
        weights: Of the parser.
        beam: How many sequences of a sentence go forward together.
    """
    planned_TR = _search(rows, weights, beam) if beam > 1 else None
    states, hashes_C = States(rows, weights.num_relations), hash_relations(weights.num_relations)
    actions = ActionFeatures(states, hashes_C, weights.actions.bits)
    num_places = len(rows.words_P)
    margins_P = np.zeros(num_places, dtype=np.float32)
    relations_PC = np.zeros((num_places, weights.num_relations), dtype=np.float32)
    for step in range(states.num_steps):
        num = states.num_alive(step)
        scores_RA = weights.actions.sums_RC(actions.buckets_FR(num))[:, :NUM_ACTIONS]
        scores_RA = np.where(states.valid_AR(num).T, scores_RA, -np.inf)
        chosen_R = scores_RA.argmax(axis=1) if planned_TR is None else planned_TR[step, :num]
        best_R = scores_RA[np.arange(num), chosen_R]
        scores_RA[np.arange(num), chosen_R] = -np.inf
        # A sequence of a beam may take an action that looked worse.
        margins_R = np.maximum(best_R - scores_RA.max(axis=1), 0)
        children_R, _, scores_RC, _ = take_actions(states, chosen_R, weights, hashes_C)
        relations_PC[children_R] = scores_RC
        margins_P[children_R] = margins_R[chosen_R > 0]
    return Parsed(states.heads_P, margins_P, relations_PC)


def _search(rows: Rows, weights: Tables, size: int) -> IntArray:
    beam = Beam(rows, weights, size)
    for step in range(beam.states.num_steps):
        beam.advance(beam.candidates(step))
    return beam.best_TB()
