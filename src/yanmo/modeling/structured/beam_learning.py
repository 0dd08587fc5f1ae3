"""Learns a parser for a beam: where all good sequences have left it, the best of them is held against the best one.

Legend: R sequences, F templates, T steps, P places of all rows, B sentences, K hypotheses of each, A actions.

Source: Collins, Roark 2004, "Incremental Parsing with the Perceptron Algorithm", section 4 (early update); what a good
sequence is says the dynamic oracle of ``parsing.arc_oracle``, so a sentence may have several.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Array, IntArray
from yanmo.modeling.structured.arcs_learning import Perceptron
from yanmo.parsing.arc_actions import take_actions
from yanmo.parsing.arc_beam import Beam, Candidates
from yanmo.parsing.arc_features import ActionFeatures
from yanmo.parsing.arc_oracle import free_AR
from yanmo.parsing.sentences import Rows, hash_relations
from yanmo.parsing.states import NUM_ACTIONS, States

__all__ = ["learn_with_beam"]


@dataclass
class _Lessons:
    """Sequences of actions to learn from, of sentences by their places in the batch.

    Attributes:
        sentences: Of each lesson.
        better: The best good sequence.
        worse: The best sequence, as long; empty where it is the good one.
    """

    sentences: list[int] = field(default_factory=list)
    better: list[list[int]] = field(default_factory=list)
    worse: list[list[int]] = field(default_factory=list)

    def add(self, sentence: int, better: list[int], worse: list[int]) -> None:
        """Note what a sentence teaches."""
        self.sentences.append(sentence)
        self.better.append(better)
        self.worse.append(worse)


def learn_with_beam(perceptron: Perceptron, rows: Rows, heads_P: IntArray, relations_P: IntArray, size: int) -> int:
    """Search for the trees of sentences, learn from those that were lost, and return how many that were.

    Args:
        perceptron: Learns.
        rows: The sentences.
        heads_P: The place of each word's true head; that of a place without one is its own.
        relations_P: Its true relation.
        size: K.
    """
    lessons = _search(perceptron, rows, heads_P, size)
    order = np.argsort([-len(one) for one in lessons.better], kind="stable")
    sentences = np.array(lessons.sentences)[order]
    told = _chosen_rows(rows, sentences)
    gold_P, labels_P = _moved(heads_P, rows, sentences), _picked(relations_P, rows, sentences)
    better = _Replay(perceptron, told, [lessons.better[place] for place in order])
    worse = _Replay(perceptron, told, [lessons.worse[place] for place in order])
    perceptron.actions.count_step()
    better.learn_relations(gold_P, labels_P)
    for replay, sign in ((better, 1.0), (worse, -1.0)):
        replay.move(sign, np.array([bool(lessons.worse[place]) for place in order]))
    return sum(map(bool, lessons.worse))


def _search(perceptron: Perceptron, rows: Rows, heads_P: IntArray, size: int) -> _Lessons:
    beam, lessons = Beam(rows, perceptron, size), _Lessons()
    gold_P = _moved(heads_P, rows, np.repeat(np.arange(len(rows.lengths_N)), size))
    num_sentences = len(rows.lengths_N)
    is_good_BK = np.isfinite(beam.scores_BK)
    is_open_B = np.ones(num_sentences, dtype=np.bool_)
    for step in range(beam.states.num_steps):
        found = beam.candidates(step)
        num = len(found.chosen_BK)
        free_BKA = free_AR(beam.states, num * size, gold_P).T.reshape(num, size, NUM_ACTIONS)
        good_BA = (is_good_BK[:num, :, None] & free_BKA & np.isfinite(found.scores_BKA)).reshape(num, -1)
        is_kept_BK = np.take_along_axis(good_BA, found.chosen_BK, axis=1)
        for sentence in np.flatnonzero(is_open_B[:num] & ~is_kept_BK.any(axis=1)).tolist():
            is_open_B[sentence] = False
            _add_lost(lessons, beam, found, good_BA[sentence], sentence, step)
        beam.advance(found)
        is_good_BK[:num] = is_kept_BK
        if not is_open_B.any():
            break
    for sentence in np.flatnonzero(is_open_B).tolist():
        num_steps = 2 * int(rows.lengths_N[sentence]) - 1
        best = int(np.flatnonzero(is_good_BK[sentence])[0])
        worse = beam.sequence(sentence, 0, num_steps) if best else []
        lessons.add(sentence, beam.sequence(sentence, best, num_steps), worse)
    return lessons


def _add_lost(
    lessons: _Lessons, beam: Beam, found: Candidates, good_A: npt.NDArray[np.bool_], sentence: int, step: int
) -> None:
    """Note a sentence of which no good sequence stays in the beam."""
    scores_A = np.where(good_A, found.scores_BKA[sentence].ravel(), -np.inf)
    ends = (int(scores_A.argmax()), int(found.chosen_BK[sentence, 0]))
    better, worse = ([*beam.sequence(sentence, one // NUM_ACTIONS, step), one % NUM_ACTIONS] for one in ends)
    lessons.add(sentence, better, worse)


class _Replay:
    """Sequences of actions taken once more, with the buckets of their features.

    Args:
        perceptron: Its weights choose relations.
        rows: A sentence a sequence.
        sequences: The longest first.
    """

    def __init__(self, perceptron: Perceptron, rows: Rows, sequences: list[list[int]]) -> None:
        self._perceptron = perceptron
        self._actions: list[tuple[IntArray, IntArray, IntArray]] = []
        self._arcs: list[tuple[IntArray, IntArray, IntArray, IntArray]] = []
        states, hashes_C = States(rows, perceptron.num_relations), hash_relations(perceptron.num_relations)
        features = ActionFeatures(states, hashes_C, perceptron.actions.bits)
        longest = max(map(len, sequences), default=0)
        planned_TR = np.full((longest, len(sequences)), -1, dtype=np.int64)
        for row, sequence in enumerate(sequences):
            planned_TR[: len(sequence), row] = sequence
        for actions_R in planned_TR:
            acting = np.flatnonzero(actions_R >= 0)
            num = int(acting[-1]) + 1
            self._actions.append((acting, features.buckets_FR(num)[:, acting], actions_R[acting]))
            children, heads, scores_RC, buckets_FR = take_actions(states, actions_R[:num], perceptron, hashes_C)
            self._arcs.append((children, heads, scores_RC.argmax(axis=1), buckets_FR))

    def move(self, sign: float, is_lost_R: npt.NDArray[np.bool_]) -> None:
        """Add to the weights of the actions of sequences that were lost, or of those that were found in their place."""
        for acting, buckets_FR, actions_R in self._actions:
            kept = is_lost_R[acting]
            self._perceptron.actions.add(buckets_FR[:, kept], actions_R[kept], sign)

    def learn_relations(self, heads_P: IntArray, relations_P: IntArray) -> None:
        """Learn the relations of arcs that are in the tree."""
        for children, heads, found_R, buckets_FR in self._arcs:
            wrong = np.flatnonzero((heads_P[children] == heads) & (found_R != relations_P[children]))
            if len(wrong):
                relations = self._perceptron.relations
                relations.move(buckets_FR[:, wrong], relations_P[children[wrong]], found_R[wrong])


def _chosen_rows(rows: Rows, sentences: IntArray) -> Rows:
    columns = (_picked(one_P, rows, sentences) for one_P in (rows.words_P, rows.endings_P, rows.tags_P))
    return Rows(rows.lengths_N[sentences], rows.width, *columns)


def _picked(values_P: Array, rows: Rows, sentences: IntArray) -> Array:
    """Return the values of the places of some sentences."""
    return np.asarray(values_P.reshape(-1, rows.width)[sentences].ravel())


def _moved(heads_P: IntArray, rows: Rows, sentences: IntArray) -> IntArray:
    """Return the same of values that are places, which move along with their sentences."""
    shift_N = (np.arange(len(sentences)) - sentences) * rows.width
    return np.asarray(_picked(heads_P, rows, sentences) + np.repeat(shift_N, rows.width))
