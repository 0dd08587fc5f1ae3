"""Labels in a row by second order: each depends on the two before it; sums over all paths of ragged rows.

It knows no label's name, no model and no text. A state is a pair of neighboring labels, so a step is C products, one
for each label in the middle, over all rows that go on.

Legend: U units of N rows, C labels, P labels and, as the last one, the edge of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.answers.chains import IMPOSSIBLE, LEAST_LOG, TINY, Steps
from yanmo.arrays import Array, FloatArray, IntArray

__all__ = ["ReachedPairs", "SecondOrderChain"]


@dataclass(frozen=True)
class SecondOrderChain:
    """How three labels in a row go together: scores in nats, :data:`IMPOSSIBLE` where they may not.

    Attributes:
        transitions_PPC: Of two labels, or edges, before a label, float32.
        ends_PC: Of two labels, or an edge and a label, at the end of a row, float32.
    """

    transitions_PPC: FloatArray
    ends_PC: FloatArray

    @property
    def num_sums(self) -> int:
        """How many sums are held of every unit."""
        return self.ends_PC.size

    def sharpened(self, power: float) -> SecondOrderChain:
        """Return the chain whose paths have the weights of this one's to a power; what is impossible stays finite."""
        parts = (self.transitions_PPC, self.ends_PC)
        return SecondOrderChain(*(np.maximum(part * np.float32(power), IMPOSSIBLE) for part in parts))

    def reach(self, scores_UC: FloatArray, steps: Steps, powers: Sequence[float] = (1.0,)) -> list[ReachedPairs]:
        """Return what all paths sum to, once for each power that their weights are taken to; there is a unit.

        Source: Rabiner 1989, "A Tutorial on Hidden Markov Models", section V.A (scaling). Differs: states are pairs.
        """
        return [self.sharpened(power)._reach(scores_UC * np.float32(power), steps) for power in powers]

    def _reach(self, logs_UC: FloatArray, steps: Steps) -> ReachedPairs:
        logs_UC -= logs_UC.max(axis=1, keepdims=True)
        emitted_UC = np.exp(np.maximum(logs_UC, LEAST_LOG))
        moves_PPC = np.exp(self.transitions_PPC)
        before = _reach(emitted_UC, steps, moves_PPC)
        return ReachedPairs(
            steps, emitted_UC, moves_PPC, before, _reach_back(emitted_UC, steps, moves_PPC, np.exp(self.ends_PC))
        )


@dataclass(frozen=True)
class ReachedPairs:
    """What all paths up to each pair of labels sum to, from both ends of the rows, scaled to 1 a row and step.

    Attributes:
        steps: The order of the units.
        emitted_UC: Each unit's own weights, in this order.
        moves_PPC: The weights of three labels in a row.
        before: Of every step the sums from the beginning of the rows, shape (P, rows, C); they hold the step's own.
        behind: Those from the end, which do not.
    """

    steps: Steps
    emitted_UC: FloatArray
    moves_PPC: FloatArray
    before: list[Array]
    behind: list[Array]

    def log_marginals(self) -> FloatArray:
        """Return scores whose softmax is the probability of each label at each unit, float32, shape (U, C)."""
        summed_UC = [(before * behind).sum(axis=0) for before, behind in zip(self.before, self.behind, strict=True)]
        return np.asarray(np.log(np.maximum(np.concatenate([_shares(one) for one in summed_UC]), TINY)))

    def path_steps(self, path_U: IntArray, goes_on_CC: npt.NDArray[np.bool_]) -> FloatArray:
        """Return how probable the steps of a path are; as :meth:`yanmo.answers.chains.SummedPaths.path_steps`."""
        found, edge = np.ones((5, len(path_U)), np.float32), self.emitted_UC.shape[1]
        last = two_back = np.zeros(0, dtype=np.int64)
        for (begin, end), before, behind in zip(self.steps.bounds(), self.before, self.behind, strict=True):
            here, rows = path_U[begin:end], np.arange(end - begin)
            through = before * behind
            found[0, begin:end] = _shares(through.sum(axis=0))[rows, here]
            if begin:
                last, two_back = last[: len(rows)], two_back[: len(rows)]
                one = through[last, rows]
                two = self.moves_PPC[two_back, last] * self.emitted_UC[begin:end] * behind[last, rows]
                for place, weights_NC in ((1, _shares(one)), (3, _shares(two))):
                    found[place, begin:end] = weights_NC[rows, here]
                    found[place + 1, begin:end] = 1 - (weights_NC * goes_on_CC[last]).sum(axis=1)
            two_back = last if begin else np.full(len(rows), edge)
            last = here
        return found


def _shares(weights_NC: FloatArray) -> FloatArray:
    return np.asarray(weights_NC / np.maximum(weights_NC.sum(axis=1, keepdims=True), TINY))


def _reach(emitted_UC: FloatArray, steps: Steps, moves_PPC: FloatArray) -> list[Array]:
    """Return of every step what all paths up to each pair of labels sum to, scaled to 1 a row, shape (P, rows, C)."""
    edge = emitted_UC.shape[1]
    # A product for each label in the middle: from those before it to those after it.
    middle_CPC = np.ascontiguousarray(moves_PPC[:, :edge].transpose(1, 0, 2))
    reached: list[Array] = []
    for begin, end in steps.bounds():
        here = np.zeros((edge + 1, end - begin, edge), dtype=np.float32)
        if reached:
            here[:edge] = reached[-1][:, : end - begin].transpose(2, 1, 0) @ middle_CPC
        else:
            here[edge] = moves_PPC[edge, edge]
        here *= emitted_UC[begin:end]
        here /= here.sum(axis=(0, 2))[:, None]
        reached.append(here)
    return reached


def _reach_back(emitted_UC: FloatArray, steps: Steps, moves_PPC: FloatArray, ends_PC: FloatArray) -> list[Array]:
    """Return of every step what all paths behind each pair of labels sum to, scaled to 1 a row, shape (P, rows, C)."""
    edge = emitted_UC.shape[1]
    middle_CCP = np.ascontiguousarray(moves_PPC[:, :edge].transpose(1, 2, 0))
    found: list[Array] = []
    for begin, end in reversed(steps.bounds()):
        behind = found[-1] if found else np.zeros((edge + 1, 0, edge), dtype=np.float32)
        num_going = behind.shape[1]
        here = np.empty((edge + 1, end - begin, edge), dtype=np.float32)
        here[:, num_going:] = ends_PC[:, None]
        if num_going:
            weighed = behind[:edge] * emitted_UC[end : end + num_going]
            here[:, :num_going] = (weighed @ middle_CCP).transpose(2, 1, 0)
        # Scaled like what is reached, so that nothing vanishes in long rows.
        here /= here.sum(axis=(0, 2))[:, None]
        found.append(here)
    return found[::-1]
