"""Labels in a row: the steps of ragged rows without padding, and sums over all paths of a linear chain.

It knows no label's name, no model and no text.

Rows are laid out step by step, the longest first: at every step the rows that go on stand together at the front, so a
step is one product over all of them and nothing is computed for a row that has ended.

Legend: U units of N rows, C labels; places in the order of the steps are units, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged

__all__ = [
    "IMPOSSIBLE",
    "LEAST_LOG",
    "TINY",
    "AnyChain",
    "Chain",
    "PathSums",
    "Reached",
    "Steps",
    "SummedPaths",
    "log_marginals",
    "sum_paths",
]

IMPOSSIBLE = np.float32(-50.0)
"""In nats, the score of what may not be; it is finite, so that every row has a path whatever its units say."""
# No label scores less than this below the best one of its unit, for the same reason.
LEAST_LOG = np.float32(-69.0)
# The smallest normal float32 is 1e-38; the logarithm of what has vanished must stay finite.
TINY = np.float32(1e-37)
SCALED_STEPS = 7
"""So many steps scale nothing. None makes the sums of a row smaller by more than e^-50, or larger by more than float32
holds, e^88; float64 holds e^-700 to e^700."""


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
        return cls._ordered(offsets[order_N], lengths_N[order_N])

    @classmethod
    def _ordered(cls, starts_N: IntArray, lengths_N: IntArray) -> Steps:
        """Return the steps of rows that are told by their first units and lengths, the longest first."""
        # How many rows are longer than t, for every t: those that have a unit at step t.
        alive_T = len(lengths_N) - np.searchsorted(lengths_N[::-1], np.arange(lengths_N.max(initial=0)), "right")
        ends_T = np.concatenate(([0], np.cumsum(alive_T))).astype(np.int64)
        step_U, rank_U = _steps_and_ranks(ends_T)
        return cls(starts_N[rank_U] + step_U, ends_T)

    @classmethod
    def blocks(cls, offsets: IntArray, num_units: int) -> Iterator[Steps]:
        """Yield the steps of a few rows at a time, those of like lengths together.

        Rows without units are left out. A block bounds what is held, and the sums of a row are the same in any.

        Args:
            offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
            num_units: About so many units, or one row that is longer.
        """
        lengths_N = np.diff(offsets)
        if len(lengths_N) == 1 and lengths_N[0]:
            # One text alone is in order as it is; what sorts many takes as long as all sums over its paths.
            yield cls(np.arange(offsets[0], offsets[1]), np.arange(lengths_N[0] + 1))
            return
        order_N = np.argsort(-lengths_N, kind="stable")[: np.count_nonzero(lengths_N)]
        block_N = (np.cumsum(lengths_N[order_N]) - 1) // num_units
        for rows in np.split(order_N, np.flatnonzero(np.diff(block_N)) + 1) if len(order_N) else ():
            yield cls._ordered(offsets[rows], lengths_N[rows])

    def rows_of(self, is_chosen_U: npt.NDArray[np.bool_]) -> Ragged:
        """Return the places of all units of the rows that have a chosen one, row by row."""
        _, rank_U = _steps_and_ranks(self.ends_T)
        ranks = np.unique(rank_U[is_chosen_U])
        lengths_N = np.bincount(rank_U)[ranks]
        offsets = np.concatenate(([0], np.cumsum(lengths_N)))
        step = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths_N)
        return Ragged(self.ends_T[step] + np.repeat(ranks, lengths_N), offsets)

    @property
    def num_rows(self) -> int:
        """How many rows have a unit."""
        return int(self.ends_T[1]) if len(self.ends_T) > 1 else 0

    def bounds(self) -> list[tuple[int, int]]:
        """Return where each step begins and ends."""
        return list(pairwise(self.ends_T.tolist()))

    @cached_property
    def mirror_U(self) -> IntArray:
        """The place of the unit that stands in the same row as far from its end as this one from its beginning."""
        if self.num_rows == 1:
            return np.arange(len(self.units_U))[::-1]
        step_U, rank_U = _steps_and_ranks(self.ends_T)
        # A row takes part in as many steps as it has units, and it has the same rank in each of them.
        lengths_N = np.bincount(rank_U)
        return np.asarray(self.ends_T[lengths_N[rank_U] - 1 - step_U] + rank_U)

    @property
    def last_N(self) -> IntArray:
        """The place of the last unit of each row."""
        return self.mirror_U[: self.num_rows]

    @cached_property
    def before_U(self) -> IntArray:
        """The place of the unit before each one that is not the first of its row, in order."""
        alive_T = np.diff(self.ends_T)
        later = np.arange(self.num_rows, self.ends_T[-1])
        return np.asarray(later - np.repeat(alive_T[:-1], alive_T[1:]))


def _steps_and_ranks(ends_T: IntArray) -> tuple[IntArray, IntArray]:
    """Return the step of every unit, and the number of its row among those that have one."""
    step_U = np.repeat(np.arange(len(ends_T) - 1), np.diff(ends_T))
    return step_U, np.arange(ends_T[-1]) - ends_T[step_U]


class SummedPaths(Protocol):
    """What all paths of some rows sum to; units are in the order of the steps."""

    def log_marginals(self) -> FloatArray:
        """Return scores whose softmax is the probability of each label at each unit, float32, shape (U, C)."""
        ...

    def path_steps(self, path_U: IntArray, goes_on_CC: npt.NDArray[np.bool_]) -> FloatArray:
        """Return how probable the steps of a path are, each after the one before it; at the first unit of a row 1.

        Args:
            path_U: A label of every unit.
            goes_on_CC: Whether a label (column) goes on with the one before it (row).

        Returns:
            float32, shape (3, U) or, by second order, (5, U): the probability of each unit's own label, whatever stands
            around it; that of the label where the one before it holds; that the unit has no label that goes on with the
            one before it, where that holds; and these two once more, where the two labels before it hold.
        """
        ...


class AnyChain(Protocol):
    """How labels in a row go together, by first or by second order."""

    @property
    def num_sums(self) -> int:
        """How many sums are held of every unit."""
        ...

    def reach(self, scores_UC: FloatArray, steps: Steps, powers: Sequence[float]) -> Sequence[SummedPaths]:
        """Return what all paths sum to, once for each power that their weights are taken to; there is a unit."""
        ...


@dataclass(frozen=True)
class Chain:
    """How labels go together in a row: scores in nats, :data:`IMPOSSIBLE` where they may not.

    Attributes:
        transitions_CC: Of a label (row) before a label (column), float32.
        start_C: Of a label at the beginning of a row.
        end_C: Of a label at the end of a row.
    """

    transitions_CC: FloatArray
    start_C: FloatArray
    end_C: FloatArray

    @property
    def num_sums(self) -> int:
        """How many sums are held of every unit."""
        return len(self.start_C)

    def sharpened(self, power: float) -> Chain:
        """Return the chain whose paths have the weights of this one's to a power; what is impossible stays finite."""
        parts = (self.transitions_CC, self.start_C, self.end_C)
        return self if power == 1 else Chain(*(np.maximum(part * np.float32(power), IMPOSSIBLE) for part in parts))

    def reach(self, scores_UC: FloatArray, steps: Steps, powers: Sequence[float] = (1.0,)) -> list[Reached]:
        """Return what all paths sum to, once for each power that their weights are taken to; there is a unit.

        Args:
            scores_UC: Unnormalized scores of every unit's labels, in the order of the steps.
            steps: Of the rows.
            powers: At least one.

        Source: Rabiner 1989, "A Tutorial on Hidden Markov Models", section V.A (scaling). Differs: the backward sums
        are the forward ones of mirrored rows, so that both, of all powers, are one product a step.
        """
        scores_CU = np.ascontiguousarray(scores_UC.T, dtype=np.float32)
        chains = [self.sharpened(power) for power in powers]
        own = [_emissions(scores_CU * np.float32(power), steps, one) for power, one in zip(powers, chains, strict=True)]
        moves = [np.exp(one.transitions_CC) for one in chains]
        both = [one_CU for emitted_CU, _ in own for one_CU in (emitted_CU, emitted_CU.take(steps.mirror_U, axis=1))]
        ways = [one_CC for moves_CC in moves for one_CC in (moves_CC.T, moves_CC)]
        sums, totals = _reach(np.array(both, dtype=np.float64), np.array(ways, dtype=np.float64), steps)
        found = []
        for place, moves_CC, (emitted_CU, largest_U) in zip(range(0, len(both), 2), moves, own, strict=True):
            backward_CU = sums[place + 1].take(steps.mirror_U, axis=1)
            found.append(Reached(steps, moves_CC, emitted_CU, sums[place], backward_CU, largest_U, totals[place]))
        return found


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


@dataclass(frozen=True)
class Reached:
    """What all paths up to each label sum to, from both ends of the rows, scaled to 1 a unit; in the steps' order.

    Attributes:
        steps: Of the rows.
        moves_CC: The weights of a label (row) before a label (column).
        emitted_CU: Each unit's own weights, the largest 1; both sums hold them.
        forward_CU: From the beginning of the row.
        backward_CU: From its end.
        largest_U: The logarithm of what a unit's own weights are larger by.
        totals_U: Of a row, the product of these is the sum over its paths.
    """

    steps: Steps
    moves_CC: FloatArray
    emitted_CU: FloatArray
    forward_CU: FloatArray
    backward_CU: FloatArray
    largest_U: FloatArray
    totals_U: Doubles

    def log_total(self) -> float:
        """Return the logarithm of the sum over all paths, of all rows together, in nats."""
        return float(np.log(self.totals_U).sum() + self.largest_U.sum(dtype=np.float64))

    def log_marginals(self) -> FloatArray:
        """Return scores whose softmax is the probability of each label at each unit, float32, shape (U, C)."""
        return np.asarray(np.log(np.maximum(self.marginals_CU, TINY)).T)

    @cached_property
    def marginals_CU(self) -> FloatArray:
        """The probability of each label at each unit."""
        marginals_CU = self.forward_CU / self.emitted_CU
        marginals_CU *= self.backward_CU
        marginals_CU /= marginals_CU.sum(axis=0)
        return marginals_CU

    def path_steps(self, path_U: IntArray, goes_on_CC: npt.NDArray[np.bool_]) -> FloatArray:
        """Return how probable the steps of a path are; as :meth:`SummedPaths.path_steps`.

        Source: Culotta, McCallum 2004, "Confidence Estimation for Information Extraction", section 3 (constrained
        forward sums). Differs: under the model labels are a Markov chain, too, so one backward sum says all steps.
        """
        found, num_first = np.ones((3, len(path_U)), dtype=np.float32), self.steps.num_rows
        before, after = path_U[self.steps.before_U], path_U[num_first:]
        behind_CV = self.backward_CU[:, num_first:]
        all_V = np.maximum(_pick(self.moves_CC @ behind_CV, before), TINY)
        found[0] = _pick(self.marginals_CU, path_U)
        found[1, num_first:] = self.moves_CC[before, after] * _pick(behind_CV, after) / all_V
        found[2, num_first:] -= _pick((self.moves_CC * goes_on_CC) @ behind_CV, before) / all_V
        return found


def log_marginals(scores_UC: FloatArray, steps: Steps, chain: AnyChain, *, sharpness: float = 1.0) -> FloatArray:
    """Return scores whose softmax is the probability of each label at each unit, float32, shape (U, C).

    Args:
        scores_UC: Unnormalized scores of every unit's labels.
        steps: Of the rows.
        chain: How labels go together.
        sharpness: At least 1. The weights of the paths through a label are summed as powers of it, and the root of the
            sum is taken: 1 gives marginals, and the larger it is, the more the best path alone counts. Labels that are
            each the most probable one of their unit then are one path, and the probabilities keep their scale.
    """
    if not len(scores_UC):
        return np.empty(scores_UC.shape, dtype=np.float32)
    (reached,) = chain.reach(scores_UC[steps.units_U], steps, [sharpness])
    found_UC = np.empty(scores_UC.shape, dtype=np.float32)
    found_UC[steps.units_U] = reached.log_marginals() / np.float32(sharpness)
    return found_UC


def sum_paths(scores_UC: FloatArray, steps: Steps, chain: Chain) -> PathSums:
    """Return the sums over all paths of a linear chain; arguments as for :func:`log_marginals`.

    Source: Lafferty, McCallum, Pereira 2001, "Conditional Random Fields", section 3.
    """
    num_labels = scores_UC.shape[1]
    if not len(scores_UC):
        return PathSums(scores_UC, np.zeros((num_labels, num_labels)), 0.0)
    (reached,) = chain.reach(scores_UC[steps.units_U], steps)
    marginals_UC = np.empty(scores_UC.shape, dtype=np.float32)
    marginals_UC[steps.units_U] = reached.marginals_CU.T
    before_CU = reached.forward_CU[:, steps.before_U]
    after_CU = reached.backward_CU[:, len(steps.units_U) - len(steps.before_U) :]
    moves_CC = reached.moves_CC
    # What all pairs of two neighboring units sum to is 1.
    after_CU = after_CU / np.maximum(((moves_CC.T @ before_CU) * after_CU).sum(axis=0), TINY)
    pairs_CC = (before_CU @ after_CU.T) * moves_CC
    return PathSums(marginals_UC, pairs_CC.astype(np.float64), reached.log_total())


def _pick(values_CU: FloatArray, labels_U: IntArray) -> FloatArray:
    """Return of every unit the value of one label."""
    # The place in all values one behind the other: twice as fast as an index for each axis.
    places = labels_U * values_CU.shape[1]
    places += np.arange(len(places))
    return np.asarray(values_CU.ravel().take(places))


def _emissions(scores_CU: FloatArray, steps: Steps, chain: Chain) -> tuple[FloatArray, FloatArray]:
    """Return the weights of every unit's labels, the largest 1, and the logarithm of what they are larger by.

    Args:
        scores_CU: In the order of the steps; they are changed.
        steps: Of the rows.
        chain: Its beginnings and ends are what the first and the last unit of a row weigh, too.
    """
    scores_CU[:, : steps.num_rows] += chain.start_C[:, None]
    scores_CU[:, steps.last_N] += chain.end_C[:, None]
    largest_U = scores_CU.max(axis=0)
    scores_CU -= largest_U
    np.maximum(scores_CU, LEAST_LOG, out=scores_CU)
    return np.exp(scores_CU, out=scores_CU), largest_U


def _reach(reached_GCU: Doubles, moves_GCC: Doubles, steps: Steps) -> tuple[FloatArray, Doubles]:
    """Return what all paths up to each label of each unit sum to, scaled to 1 a unit, for each of some chains.

    Args:
        reached_GCU: The weights of every unit's labels, in the order of the steps; they are changed.
        moves_GCC: The weights of a label (column) before a label (row).
        steps: Of the rows.

    Returns:
        float32, shape (G, C, U), and shape (G, U): of a row, the product of these is the sum over its paths.
    """
    totals_GU = np.ones((len(reached_GCU), 1, reached_GCU.shape[2]))
    previous = reached_GCU
    for number, (begin, end) in enumerate(steps.bounds()):
        here = reached_GCU[:, :, begin:end]
        if number:
            here *= moves_GCC @ previous[:, :, : end - begin]
        if number % SCALED_STEPS == 0:
            totals_GU[:, :, begin:end] = total = here.sum(axis=1, keepdims=True)
            here /= total
        previous = here
    sums_GU = reached_GCU.sum(axis=1, keepdims=True)
    reached_GCU /= sums_GU
    totals_GU[:, :, steps.last_N] *= sums_GU[:, :, steps.last_N]
    return reached_GCU.astype(np.float32), totals_GU[:, 0]
