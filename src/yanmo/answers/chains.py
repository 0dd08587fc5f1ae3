"""Labels in a row: the steps of ragged rows without padding; it knows no label.

Rows are laid out step by step, the longest first: at every step the rows that go on stand together at the front, so a
step is one product over all of them and nothing is computed for a row that has ended.

Legend: U units of N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from yanmo.arrays import Doubles, FloatArray, IntArray

__all__ = ["Steps"]


@dataclass(frozen=True)
class Steps:
    """The units of N rows, ordered by their place in the row, and within a place by the length of the row.

    Attributes:
        units_U: The unit at each place of this order, int64.
        ends_T: Where each step ends, int64, shape (T + 1,), from 0; T is the length of the longest row.
    """

    units_U: IntArray
    ends_T: IntArray

    @classmethod
    def of(cls, offsets: IntArray) -> Steps:
        """Return the steps of rows of which row i has the units ``offsets[i]`` to ``offsets[i + 1]``."""
        lengths_N = np.diff(offsets)
        order_N = np.argsort(-lengths_N, kind="stable")
        # How many rows are longer than t, for every t: those that have a unit at step t.
        alive_T = len(lengths_N) - np.searchsorted(np.sort(lengths_N), np.arange(lengths_N.max(initial=0)), "right")
        ends_T = np.concatenate(([0], np.cumsum(alive_T))).astype(np.int64)
        step_U = np.repeat(np.arange(len(alive_T)), alive_T)
        rank_U = np.arange(ends_T[-1]) - ends_T[step_U]
        return cls(offsets[order_N[rank_U]] + step_U, ends_T)

    def bounds(self) -> list[tuple[int, int]]:
        """Return where each step begins and ends."""
        return list(pairwise(self.ends_T.tolist()))


LEAST = np.float32(1e-30)


@dataclass(frozen=True)
class PathSums:
    """What the paths of all rows sum to.

    Attributes:
        marginals_UC: The probability of each label at each unit, float32.
        pairs_CC: How often each label is expected to follow each other one, in all rows together, float64.
        log_total: The logarithm of the sum over all paths, of all rows together, in nats.
    """

    marginals_UC: FloatArray
    pairs_CC: Doubles
    log_total: float


def sum_paths(scores_UC: FloatArray, steps: Steps, transitions_CC: FloatArray, start_C: FloatArray) -> PathSums:
    """Return the sums over all paths of a linear chain.

    Args:
        scores_UC: Unnormalized scores of every unit's labels.
        steps: Of the rows.
        transitions_CC: Score of a label (row) before a label (column); -inf where the second may not follow.
        start_C: Score of a label at the beginning of a row; -inf where none may begin with it.

    Source: Lafferty, McCallum, Pereira 2001, "Conditional Random Fields", section 3; Rabiner 1989, "A Tutorial on
    Hidden Markov Models", section V.A (scaling).
    """
    scores = scores_UC[steps.units_U]
    largest_U1 = scores.max(axis=1, keepdims=True, initial=-np.inf)
    emitted = np.maximum(np.exp(scores - largest_U1), LEAST)
    moves_CC, begins_C = np.exp(transitions_CC).astype(np.float32), np.exp(start_C).astype(np.float32)
    forward, scale_U = np.empty_like(emitted), np.empty(len(emitted), dtype=np.float32)
    before = None
    for begin, end in steps.bounds():
        reached = emitted[begin:end] * (begins_C if before is None else before[: end - begin] @ moves_CC)
        sums = reached.sum(axis=1)
        before = reached / sums[:, None]
        forward[begin:end], scale_U[begin:end] = before, sums
    backward, pairs_CC = _go_back(emitted, forward, scale_U, steps, moves_CC)
    marginals = forward * backward
    marginals /= marginals.sum(axis=1, keepdims=True)
    found_UC = np.empty_like(marginals)
    found_UC[steps.units_U] = marginals
    log_total = float(np.log(scale_U.astype(np.float64)).sum() + largest_U1.sum(dtype=np.float64))
    return PathSums(found_UC, pairs_CC, log_total)


def _go_back(
    emitted: FloatArray, forward: FloatArray, scale_U: FloatArray, steps: Steps, moves_CC: FloatArray
) -> tuple[FloatArray, Doubles]:
    """Return the backward sums, scaled, and the expected pairs."""
    backward = np.ones_like(forward)
    pairs_CC = np.zeros(moves_CC.shape, dtype=np.float64)
    bounds = steps.bounds()
    for (begin, end), (after, after_end) in zip(bounds[-2::-1], bounds[:0:-1], strict=True):
        going = after_end - after
        # The same scale as forward's: what the two multiply to is then of the order of 1.
        arriving = emitted[after:after_end] * backward[after:after_end] / scale_U[after:after_end, None]
        backward[begin : begin + going] = arriving @ moves_CC.T
        shares = arriving / (forward[after:after_end] * backward[after:after_end]).sum(axis=1, keepdims=True)
        pairs_CC += forward[begin : begin + going].T.astype(np.float64) @ shares
        del end
    return backward, pairs_CC * moves_CC
