"""An n-gram model step by step: states, and all tokens of a range after many states at once; it knows no text.

A state is the longest known n-gram at the end of what was read. Its tokens are found from the longest context to the
shortest: the known followers of a context stand side by side, and what none of them has is left to the shorter one.

Legend: H states, F followers of all of them.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from msgspec import Struct

from yanmo.arrays import Doubles, IntArray
from yanmo.text.backoff_model import BackoffModel

__all__ = ["BackoffStates", "Followers", "NgramStates"]


class NgramStates(Struct, frozen=True):
    """H states.

    Attributes:
        orders_H: The tokens of each, from 1 on, int64.
        places_H: Its place among the known n-grams of so many tokens, int64.
    """

    orders_H: IntArray
    places_H: IntArray

    def take(self, chosen: IntArray) -> Self:
        """Return some of the states."""
        return type(self)(self.orders_H[chosen], self.places_H[chosen])


class Followers(Struct, frozen=True):
    """Tokens after H states.

    Attributes:
        state_F: Which state each follows, ascending, int64.
        tokens_F: The tokens, int64.
        log_likelihoods_F: Of each after its state, in nats, float64.
        states: What is reached with each.
    """

    state_F: IntArray
    tokens_F: IntArray
    log_likelihoods_F: Doubles
    states: NgramStates


class BackoffStates:
    """The states of an n-gram model.

    Args:
        model: The model.
    """

    def __init__(self, model: BackoffModel) -> None:
        self._levels, self._base = model.levels, model.vocab_size + 1
        self._shorter = _shorter_places(model)

    def begin(self, num_rows: int) -> NgramStates:
        """Return the state before anything was read, so many times."""
        return NgramStates(np.ones(num_rows, dtype=np.int64), np.full(num_rows, self._base - 1))

    def follow(self, states: NgramStates, first_H: IntArray, stop_H: IntArray) -> Followers:
        """Return what follows each state of the tokens ``first_H`` to ``stop_H``, every one of them.

        Args:
            states: H states.
            first_H: The first token that is looked at after each, int64.
            stop_H: The token behind the last one.
        """
        widths_H = stop_H - first_H
        starts_H = np.cumsum(widths_H) - widths_H
        state_F = np.repeat(np.arange(len(widths_H)), widths_H)
        tokens_F = np.arange(int(widths_H.sum())) - np.repeat(starts_H - first_H, widths_H)
        values_F = np.zeros(len(tokens_F))
        orders_F, places_F = np.zeros(len(tokens_F), dtype=np.int64), tokens_F.copy()
        orders_H, places_H, left_H = states.orders_H.copy(), states.places_H.copy(), np.zeros(len(widths_H))
        for order in range(len(self._levels) - 1, 0, -1):
            here = np.flatnonzero(orders_H == order)
            if not len(here):
                continue
            keys_K, contexts = self._levels[order].keys_K, places_H[here] * self._base
            low = np.searchsorted(keys_K, contexts + first_H[here])
            counts = np.searchsorted(keys_K, contexts + stop_H[here]) - low
            owner = np.repeat(np.arange(len(here)), counts)
            found = np.arange(int(counts.sum())) + np.repeat(low - np.cumsum(counts) + counts, counts)
            cells = starts_H[here[owner]] + keys_K[found] - contexts[owner] - first_H[here[owner]]
            # What a longer context knows stays.
            is_new = orders_F[cells] == 0
            cells, found, owner = cells[is_new], found[is_new], here[owner[is_new]]
            values_F[cells] = left_H[owner] + self._levels[order].log_probabilities_K[found]
            orders_F[cells], places_F[cells] = order + 1, found
            left_H[here] += self._levels[order - 1].backoffs_K[places_H[here]]
            orders_H[here] = order - 1
            if order > 1:
                places_H[here] = self._shorter[order - 1][places_H[here]]
        unseen = np.flatnonzero(orders_F == 0)
        values_F[unseen] = left_H[state_F[unseen]] + self._levels[0].log_probabilities_K[tokens_F[unseen]]
        orders_F[unseen] = 1
        # Nothing follows an n-gram of the highest order but what follows the shorter one at its end.
        longest = np.flatnonzero(orders_F == len(self._levels)) if len(self._levels) > 1 else unseen[:0]
        if len(longest):
            places_F[longest] = self._shorter[-1][places_F[longest]]
            orders_F[longest] -= 1
        return Followers(state_F, tokens_F, values_F, NgramStates(orders_F, places_F))


def _shorter_places(model: BackoffModel) -> list[IntArray]:
    """Return of every n-gram the place of the one without its first token, by order; none of order 1."""
    base = model.vocab_size + 1
    found: list[IntArray] = [np.zeros(0, dtype=np.int64)]
    for order, level in enumerate(model.levels[1:], 1):
        contexts_K, tokens_K = np.divmod(level.keys_K, base)
        found.append(
            tokens_K if order == 1 else model.levels[order - 1].find(found[order - 1][contexts_K] * base + tokens_K)
        )
    return found
