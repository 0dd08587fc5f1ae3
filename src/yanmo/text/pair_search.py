"""The best rows of units for many sources at once: a beam that reads one symbol after the other; it knows no text.

All sources are searched side by side. At each symbol every hypothesis goes on with every unit that reads what comes
next, and of each source the best ones stay.

Legend: N sources, H hypotheses of all of them, U units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from yanmo.arrays import Doubles, IntArray, Ragged
from yanmo.text.backoff_states import BackoffStates, NgramStates

__all__ = ["UnitRanges", "search_units"]

NARROW = 12.0
"""Hypotheses that are so many nats behind the best one of their source are given up."""
LONGEST = 2
"""Symbols of the source that a unit may have."""
NO_NODE = -1


class UnitRanges(Struct, frozen=True):
    """Which units read which symbols: those that read the same stand side by side.

    Attributes:
        keys: One symbol or two that units read, the first times V + 1 plus the second and one; ascending, int64.
        firsts: The first unit that reads each, int64.
        stops: The unit behind the last one.
        num_symbols: V + 1, with the symbol that stands for all that are not known.
        end_unit: The unit that ends a row.
    """

    keys: IntArray
    firsts: IntArray
    stops: IntArray
    num_symbols: int
    end_unit: int

    def of(self, first_H: IntArray, second_H: IntArray) -> tuple[IntArray, IntArray]:
        """Return the first unit that reads a symbol, or two, and the one behind the last; an empty range of none.

        Args:
            first_H: The symbols.
            second_H: Those behind them, -1 where only one is read.
        """
        asked_H = first_H * (self.num_symbols + 1) + second_H + 1
        places_H = np.minimum(np.searchsorted(self.keys, asked_H), len(self.keys) - 1)
        is_known_H = self.keys[places_H] == asked_H
        return np.where(is_known_H, self.firsts[places_H], 0), np.where(is_known_H, self.stops[places_H], 0)


class _Hypotheses(Struct, frozen=True):
    """Hypotheses that have read the same number of symbols.

    Attributes:
        rows_H: Whose they are.
        scores_H: In nats.
        nodes_H: Their last units, as nodes.
        states: Of the n-gram model.
    """

    rows_H: IntArray
    scores_H: Doubles
    nodes_H: IntArray
    states: NgramStates

    def take(self, chosen: IntArray) -> _Hypotheses:
        """Return some of them."""
        return _Hypotheses(self.rows_H[chosen], self.scores_H[chosen], self.nodes_H[chosen], self.states.take(chosen))


class _Nodes(Struct):
    """The units of all hypotheses that were ever kept, each with the node before it, in blocks."""

    units: list[IntArray]
    before: list[IntArray]
    count: int = 0

    def add(self, units: IntArray, before: IntArray) -> IntArray:
        """Return the numbers of new nodes."""
        self.units.append(units)
        self.before.append(before)
        self.count += len(units)
        return np.arange(self.count - len(units), self.count)


def search_units(
    sources: Ragged, ranges: UnitRanges, model: BackoffStates, *, beam: int
) -> tuple[list[list[int]], Doubles, IntArray]:
    """Return the best rows of units of N sources.

    Args:
        sources: Numbers of symbols; each source has at least one row of units.
        ranges: Which units read which symbols.
        model: How likely units are after each other.
        beam: The most hypotheses of a source.

    Returns:
        H rows of units, their log-likelihoods, and the source of each, ascending, the best one of each first.
    """
    nodes, lengths_N = _Nodes([], []), sources.lengths_N
    num_rows = len(sources)
    nothing = np.full(num_rows, NO_NODE, dtype=np.int64)
    waiting: dict[int, list[_Hypotheses]] = {
        0: [_Hypotheses(np.arange(num_rows), np.zeros(num_rows), nothing, model.begin(num_rows))]
    }
    done: list[_Hypotheses] = []
    for place in range(int(lengths_N.max(initial=0)) + 1):
        here = waiting.pop(place, [])
        if not here:
            continue
        kept = _keep(_joined(here), beam)
        is_done = lengths_N[kept.rows_H] == place
        done.append(kept.take(np.flatnonzero(is_done)))
        going = kept.take(np.flatnonzero(~is_done))
        for size in range(1, LONGEST + 1):
            fits = going if size == 1 else going.take(np.flatnonzero(lengths_N[going.rows_H] >= place + size))
            symbols = [sources.values[sources.offsets[fits.rows_H] + place + step] for step in range(size)]
            second_H = symbols[1] if size > 1 else np.full(len(fits.rows_H), -1)
            found = _go_on(fits, *ranges.of(symbols[0], second_H), model, nodes)
            waiting.setdefault(place + size, []).append(found)
    end = _joined(done)
    ends = np.full(len(end.rows_H), ranges.end_unit)
    followers = model.follow(end.states, ends, ends + 1)
    scores_H = end.scores_H + followers.log_likelihoods_F
    order = np.lexsort((-scores_H, end.rows_H))
    return _units_of(end.nodes_H[order], nodes), scores_H[order], end.rows_H[order]


def _go_on(
    hypotheses: _Hypotheses, first_H: IntArray, stop_H: IntArray, model: BackoffStates, nodes: _Nodes
) -> _Hypotheses:
    followers = model.follow(hypotheses.states, first_H, stop_H)
    owner = followers.state_F
    scores = hypotheses.scores_H[owner] + followers.log_likelihoods_F
    # Most are given up at once, before anything is made of them.
    rows = hypotheses.rows_H[owner]
    best_N = np.full(int(rows.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best_N, rows, scores)
    near = np.flatnonzero(scores >= best_N[rows] - NARROW)
    numbers = nodes.add(followers.tokens_F[near], hypotheses.nodes_H[owner[near]])
    return _Hypotheses(rows[near], scores[near], numbers, followers.states.take(near))


def _keep(hypotheses: _Hypotheses, beam: int) -> _Hypotheses:
    """Return the best hypotheses of each row; of those in one state only the best."""
    states = hypotheses.states
    order = np.lexsort((-hypotheses.scores_H, states.places_H, states.orders_H, hypotheses.rows_H))
    rows, orders, places = hypotheses.rows_H[order], states.orders_H[order], states.places_H[order]
    is_new = np.ones(len(order), dtype=np.bool_)
    is_new[1:] = (rows[1:] != rows[:-1]) | (orders[1:] != orders[:-1]) | (places[1:] != places[:-1])
    kept = hypotheses.take(order[is_new])
    order = np.lexsort((-kept.scores_H, kept.rows_H))
    rows = kept.rows_H[order]
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    ranks = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    scores = kept.scores_H[order]
    best = np.repeat(scores[starts], np.diff(np.append(starts, len(rows))))
    return kept.take(order[(ranks < beam) & (scores >= best - NARROW)])


def _joined(parts: Sequence[_Hypotheses]) -> _Hypotheses:
    return _Hypotheses(
        np.concatenate([one.rows_H for one in parts]),
        np.concatenate([one.scores_H for one in parts]),
        np.concatenate([one.nodes_H for one in parts]),
        NgramStates(
            np.concatenate([one.states.orders_H for one in parts]),
            np.concatenate([one.states.places_H for one in parts]),
        ),
    )


def _units_of(nodes_H: IntArray, nodes: _Nodes) -> list[list[int]]:
    """Return the units of each hypothesis from its last node back to its first."""
    units, before = np.concatenate(nodes.units), np.concatenate(nodes.before)
    steps = []
    here = nodes_H
    while (here >= 0).any():
        steps.append(np.where(here >= 0, units[here], -1))
        here = np.where(here >= 0, before[here], NO_NODE)
    if not steps:
        return [[] for _ in nodes_H]
    # The last unit was found first.
    return [[unit for unit in row if unit >= 0] for row in np.stack(steps[::-1], axis=1).tolist()]
