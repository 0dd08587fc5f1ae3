"""Learns a parser for a beam: where its best sequence is furthest above a good one, both are learned from.

What a good sequence is says the dynamic oracle: of the actions that lose no arc, the one that scores best, at every
step. So a good sequence never needs a part of the tree that is lost already.

Legend: R sequences, B sentences, F templates, T steps, P places of all rows.

Source: Huang, Fayong, Guo 2012, "Structured Perceptron with Inexact Search", section 5 (max-violation update).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Array, Doubles, IntArray
from yanmo.modeling.structured.arcs_learning import Perceptron
from yanmo.parsing.arc_actions import take_actions
from yanmo.parsing.arc_beam import Beam
from yanmo.parsing.arc_features import ActionFeatures
from yanmo.parsing.arc_oracle import free_AR
from yanmo.parsing.sentences import Rows, hash_relations
from yanmo.parsing.states import NUM_ACTIONS, States

__all__ = ["learn_with_beam"]


def learn_with_beam(perceptron: Perceptron, rows: Rows, heads_P: IntArray, relations_P: IntArray, size: int) -> int:
    """Search for the trees of sentences, learn from those that were lost, and return how many that were.

    Args:
        perceptron: Learns.
        rows: The sentences.
        heads_P: The place of each word's true head; that of a place without one is its own.
        relations_P: Its true relation.
        size: How many sequences of a sentence go forward together.
    """
    good, best, above_TB = _search(perceptron, rows, heads_P, size)
    # Of steps that are equally far above it the last: before anything is learned all are, and few tell much.
    worst_B = len(above_TB) - 1 - above_TB[::-1].argmax(axis=0)
    # Whose best tree is the true one has lost nothing, whichever way the beam went.
    is_lost_B = (above_TB.max(axis=0) >= 0) & ~_are_right(best, rows, heads_P)
    told_B = np.where(is_lost_B, worst_B + 1, 0)
    found_TB = np.full_like(good.actions_TB, -1)
    for sentence in np.flatnonzero(is_lost_B).tolist():
        found_TB[: told_B[sentence], sentence] = best.sequence(sentence, 0, int(told_B[sentence]))
    found = _Replay(perceptron, rows, found_TB)
    perceptron.count_step()
    good.add_actions(told_B, 1.0)
    found.add_actions(told_B, -1.0)
    good.learn_relations(heads_P, relations_P)
    return int(is_lost_B.sum())


def _search(perceptron: Perceptron, rows: Rows, heads_P: IntArray, size: int) -> tuple[_Replay, Beam, Doubles]:
    """Return good sequences, the beam, and by how much its best one is above the good one after every step."""
    beam, states = Beam(rows, perceptron, size), States(rows, perceptron.num_relations)
    hashes_C = hash_relations(perceptron.num_relations)
    features = ActionFeatures(states, hashes_C, perceptron.actions.bits)
    good_TB = np.full((states.num_steps, len(rows.lengths_N)), -1, dtype=np.int64)
    above_TB = np.full(good_TB.shape, -np.inf)
    totals_B = np.zeros(len(rows.lengths_N))
    for step in range(states.num_steps):
        num = states.num_alive(step)
        scores_RA = perceptron.actions.sums_RC(features.buckets_FR(num))[:, :NUM_ACTIONS]
        free_RA = np.where(free_AR(states, num, heads_P).T, scores_RA, -np.inf)
        good_TB[step, :num] = free_RA.argmax(axis=1)
        totals_B[:num] += free_RA.max(axis=1)
        take_actions(states, good_TB[step, :num], perceptron, hashes_C)
        beam.advance(beam.candidates(step))
        above_TB[step, :num] = beam.scores_BK[:num, 0] - totals_B[:num]
    return _Replay(perceptron, rows, good_TB), beam, above_TB


def _are_right(beam: Beam, rows: Rows, heads_P: IntArray) -> npt.NDArray[np.bool_]:
    """Return whether the best sequence of each sentence has made the true tree, bool, shape (B,)."""
    num_sentences = len(rows.lengths_N)
    size = len(beam.states.roots_R) // num_sentences
    found_BW = beam.states.heads_P.reshape(num_sentences, size, rows.width)[:, 0]
    shift_B = np.arange(num_sentences) * (size - 1) * rows.width
    return np.asarray((found_BW - shift_B[:, None] == heads_P.reshape(num_sentences, rows.width)).all(axis=1))


class _Replay:
    """Sequences of actions taken once more, with the buckets of their features.

    Args:
        perceptron: Its weights choose relations.
        rows: A sentence a sequence.
        actions_TB: What each does at each step, -1 behind its end.
    """

    def __init__(self, perceptron: Perceptron, rows: Rows, actions_TB: IntArray) -> None:
        self.actions_TB = actions_TB
        self._perceptron = perceptron
        self._buckets: list[tuple[IntArray, IntArray]] = []
        self._arcs: list[tuple[IntArray, IntArray, IntArray, IntArray]] = []
        states, hashes_C = States(rows, perceptron.num_relations), hash_relations(perceptron.num_relations)
        features = ActionFeatures(states, hashes_C, perceptron.actions.bits)
        for actions_B in actions_TB:
            acting = np.flatnonzero(actions_B >= 0)
            if not len(acting):
                break
            num = int(acting[-1]) + 1
            self._buckets.append((acting, features.buckets_FR(num)[:, acting]))
            children, heads, scores_RC, buckets_FR = take_actions(states, actions_B[:num], perceptron, hashes_C)
            self._arcs.append((children, heads, scores_RC.argmax(axis=1), buckets_FR))

    def add_actions(self, told_B: IntArray, sign: float) -> None:
        """Add to the weights of so many first actions of each sequence."""
        for step, (acting, buckets_FR) in enumerate(self._buckets):
            kept: npt.NDArray[np.bool_] = told_B[acting] > step
            actions_R: Array = self.actions_TB[step, acting[kept]]
            self._perceptron.actions.add(buckets_FR[:, kept], actions_R, sign)

    def learn_relations(self, heads_P: IntArray, relations_P: IntArray) -> None:
        """Learn the relations of arcs that are in the tree."""
        for children, heads, found_R, buckets_FR in self._arcs:
            wrong = np.flatnonzero((heads_P[children] == heads) & (found_R != relations_P[children]))
            if len(wrong):
                relations = self._perceptron.relations
                relations.move(buckets_FR[:, wrong], relations_P[children[wrong]], found_R[wrong])
