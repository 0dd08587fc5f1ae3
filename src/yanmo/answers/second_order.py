"""Labels in a row by second order: each depends on the two before it; sums over all paths of ragged rows.

It knows no label's name, no model and no text. A state is a pair of neighboring labels, so a step is C products, one
for each label in the middle, over all rows that go on.

Legend: U units of N rows, C labels, P labels and, as the last one, the edge of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yanmo.answers.chains import IMPOSSIBLE, LEAST_LOG, TINY, Steps, row_blocks
from yanmo.arrays import Array, FloatArray, IntArray

__all__ = ["SecondOrderChain", "second_order_marginals"]

BLOCK_SUMS = 1 << 22
"""Sums of pairs of labels that are held at a time."""


@dataclass(frozen=True)
class SecondOrderChain:
    """How three labels in a row go together: scores in nats, :data:`IMPOSSIBLE` where they may not.

    Attributes:
        transitions_PPC: Of two labels, or edges, before a label, float32.
        ends_PC: Of two labels, or an edge and a label, at the end of a row, float32.
    """

    transitions_PPC: FloatArray
    ends_PC: FloatArray


def second_order_marginals(
    scores_UC: FloatArray, offsets: IntArray, chain: SecondOrderChain, *, sharpness: float = 1.0
) -> FloatArray:
    """Return scores whose softmax is the probability of each label at each unit, float32, shape (U, C).

    Args:
        scores_UC: Unnormalized scores of every unit's labels.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        chain: How labels go together.
        sharpness: As in :func:`yanmo.answers.chains.log_marginals`.

    Source: Rabiner 1989, "A Tutorial on Hidden Markov Models", section V.A (scaling). Differs: states are pairs.
    """
    power = np.float32(sharpness)
    moves_PPC, ends_PC = (
        np.exp(np.maximum(part * power, IMPOSSIBLE)) for part in (chain.transitions_PPC, chain.ends_PC)
    )
    found_UC = np.empty(scores_UC.shape, dtype=np.float32)
    for units, inner in row_blocks(offsets, max(BLOCK_SUMS // scores_UC.shape[1] ** 2, 1)):
        steps, logs_UC = Steps.of(inner), scores_UC[units] * power
        logs_UC -= logs_UC.max(axis=1, keepdims=True)
        emitted_UC = np.exp(np.maximum(logs_UC, LEAST_LOG))[steps.units_U]
        summed_UC = _sum_back(_reach(emitted_UC, steps, moves_PPC), emitted_UC, steps, moves_PPC, ends_PC)
        found_UC[units[steps.units_U]] = np.log(np.maximum(summed_UC, TINY)) / power
    return found_UC


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


def _sum_back(
    reached: list[Array], emitted_UC: FloatArray, steps: Steps, moves_PPC: FloatArray, ends_PC: FloatArray
) -> FloatArray:
    """Return what all paths through each label of each unit sum to, scaled to 1 a unit, in the order of the steps."""
    edge = emitted_UC.shape[1]
    middle_CCP = np.ascontiguousarray(moves_PPC[:, :edge].transpose(1, 2, 0))
    summed_UC, behind, bounds = np.empty_like(emitted_UC), np.zeros((edge + 1, 0, edge), np.float32), steps.bounds()
    for (begin, end), before in zip(reversed(bounds), reversed(reached), strict=True):
        num_ended, num_going = end - begin - behind.shape[1], behind.shape[1]
        ended = np.broadcast_to(ends_PC[:, None], (edge + 1, num_ended, edge))
        if num_going:
            weighed = behind[:edge] * emitted_UC[end : end + num_going]
            going = (weighed @ middle_CCP).transpose(2, 1, 0)
            # Scaled like what is reached, so that nothing vanishes in long rows.
            going /= going.sum(axis=(0, 2))[:, None]
            ended = np.concatenate([going, ended], axis=1)
        behind = ended
        through_NC = (before * behind).sum(axis=0)
        summed_UC[begin:end] = through_NC / np.maximum(through_NC.sum(axis=1, keepdims=True), TINY)
    return summed_UC
