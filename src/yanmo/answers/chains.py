"""Labels in a row: the steps of ragged rows without padding, and sums over all paths of a linear chain.

It knows no label's name, no model and no text.

Rows are laid out step by step, the longest first: at every step the rows that go on stand together at the front, so a
step is one product over all of them and nothing is computed for a row that has ended.

Legend: U units of N rows, C labels; places in the order of the steps are units, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Array, Doubles, FloatArray, IntArray

__all__ = [
    "IMPOSSIBLE",
    "LEAST_LOG",
    "TINY",
    "AnyChain",
    "Chain",
    "PathSteps",
    "PathSums",
    "Reached",
    "Steps",
    "SummedPaths",
    "log_marginals",
    "row_blocks",
    "sum_paths",
]

IMPOSSIBLE = np.float32(-50.0)
"""In nats, the score of what may not be; it is finite, so that every row has a path whatever its units say."""
# No label scores less than this below the best one of its unit, for the same reason.
LEAST_LOG = np.float32(-69.0)
# The smallest normal float32 is 1e-38; the logarithm of what has vanished must stay finite.
TINY = np.float32(1e-37)


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

    @cached_property
    def mirror_U(self) -> IntArray:
        """The place of the unit that stands in the same row as far from its end as this one from its beginning."""
        alive_T = np.diff(self.ends_T)
        step_U = np.repeat(np.arange(len(alive_T)), alive_T)
        rank_U = np.arange(self.ends_T[-1]) - self.ends_T[step_U]
        # A row takes part in as many steps as it has units, and it has the same rank in each of them.
        lengths_N = np.bincount(rank_U)
        return np.asarray(self.ends_T[lengths_N[rank_U] - 1 - step_U] + rank_U)

    @cached_property
    def before_U(self) -> IntArray:
        """The place of the unit before each one that is not the first of its row, in order."""
        alive_T = np.diff(self.ends_T)
        later = np.arange(alive_T[:1].sum(), self.ends_T[-1])
        return np.asarray(later - np.repeat(alive_T[:-1], alive_T[1:]))


def row_blocks(offsets: IntArray, num_units: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the units of a few rows at a time, those of like lengths together, and where these rows then end.

    Rows without units are left out. A block bounds what is held, and the sums of a row are the same in any.

    Args:
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        num_units: About so many units, or one row that is longer.
    """
    lengths_N = np.diff(offsets)
    order_N = np.argsort(-lengths_N, kind="stable")
    order_N = order_N[lengths_N[order_N] > 0]
    block_N = (np.cumsum(lengths_N[order_N]) - 1) // num_units
    for rows in np.split(order_N, np.flatnonzero(np.diff(block_N)) + 1) if len(order_N) else ():
        inner = np.concatenate(([0], np.cumsum(lengths_N[rows]))).astype(np.int64)
        yield np.arange(inner[-1]) + np.repeat(offsets[rows] - inner[:-1], lengths_N[rows]), inner


class SummedPaths(Protocol):
    """What all paths of some rows sum to."""

    def log_marginals(self) -> FloatArray:
        """Return scores whose softmax is the probability of each label at each unit, float32, shape (U, C)."""
        ...

    def path_steps(self, path_U: IntArray, goes_on_CC: npt.NDArray[np.bool_]) -> PathSteps:
        """Return how probable the steps of a path are."""
        ...


class AnyChain(Protocol):
    """How labels in a row go together, by first or by second order."""

    @property
    def num_sums(self) -> int:
        """How many sums are held of every unit."""
        ...

    def sharpened(self, power: np.float32) -> AnyChain:
        """Return the chain whose paths have the weights of this one's to a power."""
        ...

    def reach(self, scores_UC: FloatArray, steps: Steps) -> SummedPaths:
        """Return what all paths sum to; there is at least one unit."""
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

    def sharpened(self, power: np.float32) -> Chain:
        """Return the chain whose paths have the weights of this one's to a power; what is impossible stays finite."""
        parts = (self.transitions_CC, self.start_C, self.end_C)
        return Chain(*(np.maximum(part * power, IMPOSSIBLE) for part in parts))

    def reach(self, scores_UC: FloatArray, steps: Steps) -> Reached:
        """Return what all paths sum to; there is at least one unit.

        Args:
            scores_UC: Unnormalized scores of every unit's labels.
            steps: Of the rows.

        Source: Rabiner 1989, "A Tutorial on Hidden Markov Models", section V.A (scaling). Differs: the backward sums
        are the forward ones of mirrored rows, so both are one product a step.
        """
        logs_CU, largest_U = _emissions(scores_UC, steps, self)
        (forward_CU, mirrored_CU), scales_U = _reach(np.exp(logs_CU), steps, self)
        log_total = float(np.log(scales_U).sum(dtype=np.float64) + largest_U.sum(dtype=np.float64))
        return Reached(steps, self.transitions_CC, logs_CU, forward_CU, mirrored_CU[:, steps.mirror_U], log_total)


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
class PathSteps:
    """How probable the steps of one path are, each after the one before it; at the first unit of a row 1.

    Attributes:
        own_U: The probability of each unit's own label, whatever stands around it, float32.
        step_U: That of the label where the one before it holds.
        stop_U: That the unit has no label that goes on with the one before it, where that holds.
        second_step_U: As ``step_U``, where the two labels before it hold.
        second_stop_U: As ``stop_U``, where the two labels before it hold.
    """

    own_U: FloatArray
    step_U: FloatArray
    stop_U: FloatArray
    second_step_U: FloatArray
    second_stop_U: FloatArray


@dataclass(frozen=True)
class Reached:
    """What all paths up to each label sum to, from both ends of the rows, scaled to 1 a unit.

    Attributes:
        steps: The order of the units.
        transitions_CC: Of the chain.
        logs_CU: Each unit's own scores, the largest 0; both sums hold them.
        forward_CU: From the beginning of the row.
        backward_CU: From its end.
        log_total: The logarithm of the sum over all paths, of all rows together, in nats.
    """

    steps: Steps
    transitions_CC: FloatArray
    logs_CU: FloatArray
    forward_CU: FloatArray
    backward_CU: FloatArray
    log_total: float

    def log_marginals(self) -> FloatArray:
        """Return scores whose softmax is the probability of each label at each unit, float32, shape (U, C)."""
        summed_CU = _log(self.forward_CU)
        summed_CU += _log(self.backward_CU)
        summed_CU -= self.logs_CU
        found_UC = np.empty(summed_CU.shape[::-1], dtype=np.float32)
        found_UC[self.steps.units_U] = summed_CU.T
        return found_UC

    def marginals_CU(self) -> FloatArray:
        """Return the probability of each label at each unit, in the order of the steps."""
        marginals_CU = self.forward_CU * self.backward_CU / np.exp(self.logs_CU)
        return np.asarray(marginals_CU / marginals_CU.sum(axis=0))

    def path_steps(self, path_U: IntArray, goes_on_CC: npt.NDArray[np.bool_]) -> PathSteps:
        """Return how probable the steps of a path are.

        Args:
            path_U: A label of every unit.
            goes_on_CC: Whether a label (column) goes on with the one before it (row).

        Source: Culotta, McCallum 2004, "Confidence Estimation for Information Extraction", section 3 (constrained
        forward sums). Differs: under the model labels are a Markov chain, too, so one backward sum says all steps.
        """
        steps, path = self.steps, path_U[self.steps.units_U]
        found = np.ones((3, len(path)), dtype=np.float32)
        found[0] = self.marginals_CU()[path, np.arange(len(path))]
        num_first = len(path) - len(steps.before_U)
        before, after = path[steps.before_U], path[num_first:]
        weights_CV = np.exp(self.transitions_CC).T[:, before] * self.backward_CU[:, num_first:]
        weights_CV /= np.maximum(weights_CV.sum(axis=0), TINY)
        found[1, num_first:] = weights_CV[after, np.arange(len(after))]
        found[2, num_first:] = 1 - (weights_CV * goes_on_CC.T[:, before]).sum(axis=0)
        found[:, steps.units_U] = found.copy()
        # What stands two places before says no more.
        return PathSteps(*found, *found[1:])


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
    power = np.float32(sharpness)
    return chain.sharpened(power).reach(scores_UC * power, steps).log_marginals() / power


def sum_paths(scores_UC: FloatArray, steps: Steps, chain: Chain) -> PathSums:
    """Return the sums over all paths of a linear chain; arguments as for :func:`log_marginals`.

    Source: Lafferty, McCallum, Pereira 2001, "Conditional Random Fields", section 3.
    """
    num_labels = scores_UC.shape[1]
    if not len(scores_UC):
        return PathSums(scores_UC, np.zeros((num_labels, num_labels)), 0.0)
    reached = chain.reach(scores_UC, steps)
    marginals_UC = np.empty(scores_UC.shape, dtype=np.float32)
    marginals_UC[steps.units_U] = reached.marginals_CU().T
    before_CU = reached.forward_CU[:, steps.before_U]
    after_CU = reached.backward_CU[:, len(steps.units_U) - len(steps.before_U) :]
    moves_CC = np.exp(chain.transitions_CC)
    # What all pairs of two neighboring units sum to is 1.
    after_CU = after_CU / np.maximum(((moves_CC.T @ before_CU) * after_CU).sum(axis=0), TINY)
    pairs_CC = (before_CU @ after_CU.T) * moves_CC
    return PathSums(marginals_UC, pairs_CC.astype(np.float64), reached.log_total)


def _emissions(scores_UC: FloatArray, steps: Steps, chain: Chain) -> tuple[FloatArray, FloatArray]:
    """Return the scores in the order of the steps, label by label, the largest of each unit 0; and that largest."""
    scores_CU = np.ascontiguousarray(scores_UC[steps.units_U].T, dtype=np.float32)
    # The first step has the first unit of every row, and its mirror the last one.
    num_rows = int(steps.ends_T[1])
    scores_CU[:, :num_rows] += chain.start_C[:, None]
    scores_CU[:, steps.mirror_U[:num_rows]] += chain.end_C[:, None]
    largest_U = scores_CU.max(axis=0)
    scores_CU -= largest_U
    return np.maximum(scores_CU, LEAST_LOG, out=scores_CU), largest_U


def _reach(emitted_CU: FloatArray, steps: Steps, chain: Chain) -> tuple[Array, FloatArray]:
    """Return what all paths up to each label of each unit sum to, scaled to 1 a unit, from both ends of the rows.

    Returns:
        float32, shape (2, C, U), the second in the order of the mirrored rows; and by how much the first was scaled.
    """
    moves_CC = np.exp(chain.transitions_CC)
    moves = np.stack([moves_CC.T, moves_CC]).astype(np.float32)
    reached = np.stack([emitted_CU, emitted_CU[:, steps.mirror_U]])
    sums = np.empty((2, 1, reached.shape[2]), dtype=np.float32)
    previous = None
    for begin, end in steps.bounds():
        here, total = reached[:, :, begin:end], sums[:, :, begin:end]
        if previous is not None:
            here *= moves @ previous[:, :, : end - begin]
        here.sum(axis=1, keepdims=True, out=total)
        here /= total
        previous = here
    return reached, sums[0, 0]


def _log(values: FloatArray) -> FloatArray:
    return np.log(np.maximum(values, TINY))
