"""Learns the transitions and relations of a parser: an averaged perceptron with a dynamic oracle; it reads no text.

All sentences of a batch go forward together: at each step every state learns from its own mistake.

Legend: R states, F templates, A actions, C relations, K buckets, P places of all rows.

Source: Goldberg, Nivre 2012, "A Dynamic Oracle for Arc-Eager Dependency Parsing", algorithm 3; Collins 2002,
"Discriminative Training Methods for Hidden Markov Models", section 2.5 (averaging). Differs: several sentences a step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray, IntArray
from yanmo.parsing.arc_actions import arc_ends
from yanmo.parsing.arc_features import ActionFeatures, RelationFeatures
from yanmo.parsing.arc_oracle import free_AR
from yanmo.parsing.arc_weights import ArcWeights, WeightTable
from yanmo.parsing.sentences import Rows, hash_relations
from yanmo.parsing.states import NUM_ACTIONS, SHIFT, States

__all__ = ["AveragedTable", "Perceptron"]

LANES = 4
"""Columns of the actions' weights: a row of four numbers is one move."""


class AveragedTable:
    """Weights, and what their mean over all steps is made from.

    Args:
        bits: There are two to this power rows.
        num_columns: Of each row.
    """

    def __init__(self, bits: int, num_columns: int) -> None:
        self.bits = bits
        self.weights_KC = np.zeros((1 << bits, num_columns), dtype=np.float32)
        self._steps_KC = np.zeros_like(self.weights_KC)
        self._num_steps = 0

    def sums_RC(self, buckets_FR: IntArray) -> FloatArray:
        """Return the sum of the rows of each state."""
        found: FloatArray = self.weights_KC.take(buckets_FR, axis=0).sum(axis=0)
        return found

    def move(self, buckets_FR: IntArray, better_R: IntArray, worse_R: IntArray) -> None:
        """Raise the weights of one column of each state, and lower those of another."""
        self.add(buckets_FR, better_R, 1.0)
        self.add(buckets_FR, worse_R, -1.0)

    def count_step(self) -> None:
        """Begin another step, which what is added next belongs to; one without a mistake counts, too."""
        self._num_steps += 1

    def add(self, buckets_FR: IntArray, columns_R: IntArray, sign: float) -> None:
        """Add to the weights of one column of each state."""
        cells = (buckets_FR * self.weights_KC.shape[1] + columns_R).ravel()
        np.add.at(self.weights_KC.reshape(-1), cells, np.float32(sign))
        # So many steps have gone by without it.
        np.add.at(self._steps_KC.reshape(-1), cells, np.float32(sign * (self._num_steps - 1)))

    def restart(self) -> None:
        """Go on from the mean of the weights, and take the mean of what comes from now on."""
        self.weights_KC = self.mean_KC()
        self._steps_KC[:] = 0
        self._num_steps = 0

    def mean_KC(self) -> FloatArray:
        """Return the mean of the weights after every step."""
        return np.asarray(self.weights_KC - self._steps_KC / np.float32(max(self._num_steps, 1)))


class Perceptron:
    """The weights of a parser while they are learned.

    Args:
        num_relations: C.
        action_bits: There are two to this power buckets of features for actions.
        relation_bits: The same for relations.
        seed: Of which mistakes are followed.
    """

    def __init__(self, num_relations: int, action_bits: int, relation_bits: int, seed: int) -> None:
        self.num_relations = num_relations
        self.actions = AveragedTable(action_bits, LANES)
        self.relations = AveragedTable(relation_bits, num_relations)
        self._random = np.random.default_rng(seed)

    def count_step(self) -> None:
        """Begin another step of both tables."""
        self.actions.count_step()
        self.relations.count_step()

    def learn(self, rows: Rows, heads_P: IntArray, relations_P: IntArray, *, explore: float) -> int:
        """Parse sentences, learn from the mistakes, and return how many actions cost an arc of the true tree.

        Args:
            rows: The sentences.
            heads_P: The place of each word's true head; that of a place without one is its own.
            relations_P: Its true relation.
            explore: The share of mistakes that are followed, so that states as after a mistake are learned from.
        """
        states, hashes_C = States(rows, self.num_relations), hash_relations(self.num_relations)
        actions = ActionFeatures(states, hashes_C, self.actions.bits)
        relations = RelationFeatures(states, hashes_C, self.relations.bits)
        num_mistakes = 0
        for step in range(states.num_steps):
            num = states.num_alive(step)
            self.count_step()
            chosen_R, num_wrong = self._choose(states, actions.buckets_FR(num), free_AR(states, num, heads_P), explore)
            num_mistakes += num_wrong
            arcs = np.flatnonzero(chosen_R != SHIFT)
            children_R, ends_R = arc_ends(states, arcs, chosen_R[arcs])
            buckets_FR = relations.buckets_FR(ends_R, children_R)
            found_R = self.relations.sums_RC(buckets_FR).argmax(axis=1)
            # Of an arc that is not in the tree no relation is right.
            wrong = np.flatnonzero((heads_P[children_R] == ends_R) & (found_R != relations_P[children_R]))
            if len(wrong):
                self.relations.move(buckets_FR[:, wrong], relations_P[children_R[wrong]], found_R[wrong])
            states.shift(np.flatnonzero(chosen_R == SHIFT))
            states.attach(arcs, children_R, ends_R, found_R)
        return num_mistakes

    def _choose(
        self, states: States, buckets_FR: IntArray, is_free_AR: npt.NDArray[np.bool_], explore: float
    ) -> tuple[IntArray, int]:
        num = buckets_FR.shape[1]
        scores_RA = self.actions.sums_RC(buckets_FR)[:, :NUM_ACTIONS]
        scores_RA = np.where(states.valid_AR(num).T, scores_RA, -np.inf)
        chosen_R = scores_RA.argmax(axis=1)
        wrong = np.flatnonzero(~is_free_AR[chosen_R, np.arange(num)])
        if len(wrong):
            best_R = np.where(is_free_AR[:, wrong].T, scores_RA[wrong], -np.inf).argmax(axis=1)
            self.actions.move(buckets_FR[:, wrong], best_R, chosen_R[wrong])
            is_led = self._random.random(len(wrong)) >= explore
            chosen_R[wrong[is_led]] = best_R[is_led]
        return chosen_R, len(wrong)

    def average(self) -> ArcWeights:
        """Return the mean of the weights over all steps, in 8 bits."""
        return ArcWeights(WeightTable.of(self.actions.mean_KC()), WeightTable.of(self.relations.mean_KC()))
