"""Beam search: the best sequences of actions, several a sentence, forward together; it learns nothing.

Legend: B sentences, K hypotheses of each, R = B K states, A actions, T steps, P places of all rows.

Source: Zhang, Clark 2008, "A Tale of Two Parsers: Investigating and Combining Graph-based and Transition-based
Dependency Parsing using Beam-search", section 3.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from yanmo.arrays import FloatArray, IntArray
from yanmo.parsing.arc_actions import Tables, take_actions
from yanmo.parsing.arc_features import ActionFeatures
from yanmo.parsing.sentences import Rows, hash_relations
from yanmo.parsing.states import NUM_ACTIONS, States

__all__ = ["Beam", "Candidates"]


class Candidates(Struct, frozen=True):
    """What the hypotheses of the first sentences could do next.

    Attributes:
        scores_BKA: Of whole sequences, each with its next action; -inf where it may not be.
        chosen_BK: The best ones, as places among K A, the best first.
    """

    scores_BKA: FloatArray
    chosen_BK: IntArray


class Beam:
    """The K best sequences of actions of each of B sentences, step by step.

    Args:
        rows: The sentences.
        weights: What scores actions and relations.
        size: K.

    Attributes:
        states: Of all hypotheses, those of one sentence side by side.
        scores_BK: Of the sequences so far; -inf where there is none.
        sources: Of every step which hypothesis each goes on from, shape (B, K).
        actions: Of every step what it did.
    """

    def __init__(self, rows: Rows, weights: Tables, size: int) -> None:
        self._rows, self._weights, self._size = rows.repeated(size), weights, size
        self._hashes_C = hash_relations(weights.num_relations)
        self.states, self._other = (States(self._rows, weights.num_relations) for _ in range(2))
        num_sentences = len(rows.lengths_N)
        self.scores_BK = np.full((num_sentences, size), -np.inf, dtype=np.float32)
        self.scores_BK[:, 0] = 0
        self.sources: list[IntArray] = []
        self.actions: list[IntArray] = []

    def candidates(self, step: int) -> Candidates:
        """Return what the hypotheses of the sentences that have such a step could do."""
        num = self.states.num_alive(step)
        features = ActionFeatures(self.states, self._hashes_C, self._weights.actions.bits)
        scores_RA = self._weights.actions.sums_RC(features.buckets_FR(num))[:, :NUM_ACTIONS]
        scores_RA = np.where(self.states.valid_AR(num).T, scores_RA, -np.inf)
        num_alive = num // self._size
        scores_BKA = self.scores_BK[:num_alive, :, None] + scores_RA.reshape(num_alive, self._size, NUM_ACTIONS)
        flat = scores_BKA.reshape(num_alive, -1)
        # Stable, so that of equal ones the first wins, whatever else is in the batch.
        return Candidates(scores_BKA, np.argsort(-flat, axis=1, kind="stable")[:, : self._size])

    def advance(self, found: Candidates) -> None:
        """Let the best candidates be the hypotheses."""
        num_alive = len(found.chosen_BK)
        sources_BK, actions_BK = np.divmod(found.chosen_BK, NUM_ACTIONS)
        flat = found.scores_BKA.reshape(num_alive, -1)
        self.scores_BK[:num_alive] = np.take_along_axis(flat, found.chosen_BK, axis=1)
        self.sources.append(sources_BK)
        self.actions.append(actions_BK)
        places_R = (np.arange(num_alive)[:, None] * self._size + sources_BK).ravel()
        self._other.copy_from(self.states, places_R)
        self.states, self._other = self._other, self.states
        # What is no hypothesis has no valid action either; it stays where it is.
        is_real_R = np.isfinite(self.scores_BK[:num_alive]).ravel()
        take_actions(self.states, np.where(is_real_R, actions_BK.ravel(), -1), self._weights, self._hashes_C)

    def sequence(self, sentence: int, hypothesis: int, num_steps: int) -> list[int]:
        """Return the actions of one of a sentence's hypotheses after so many steps."""
        found: list[int] = []
        for step in range(num_steps - 1, -1, -1):
            found.append(int(self.actions[step][sentence, hypothesis]))
            hypothesis = int(self.sources[step][sentence, hypothesis])
        return found[::-1]

    def best_TB(self) -> IntArray:
        """Return the actions of every sentence's best sequence, -1 behind its end, int64, shape (T, B)."""
        num_sentences = len(self.scores_BK)
        actions_TB = np.full((len(self.actions), num_sentences), -1, dtype=np.int64)
        place_B = np.zeros(num_sentences, dtype=np.int64)
        for step in range(len(self.actions) - 1, -1, -1):
            num = len(self.actions[step])
            rows = np.arange(num)
            actions_TB[step, :num] = self.actions[step][rows, place_B[:num]]
            place_B[:num] = self.sources[step][rows, place_B[:num]]
        return actions_TB
