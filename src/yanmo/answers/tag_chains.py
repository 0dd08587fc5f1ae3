"""Scores of units' tags and a chain over them, as evidence: marginals, and the probability of each span as a whole.

It knows no model and no text.

Legend: U units of N rows, C tags, M spans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yanmo.answers.chains import AnyChain, Steps
from yanmo.answers.choices import Choices
from yanmo.answers.legal_paths import best_path
from yanmo.answers.links import Link
from yanmo.answers.spans import Spans, find_spans
from yanmo.answers.tags import TagScheme
from yanmo.arrays import Array, FloatArray, IntArray, Ragged

__all__ = ["TagChain"]

BLOCK_SUMS = 1 << 18
"""Sums of paths that are held at a time; more of them leave the cache."""
LEAST_UNITS = 1 << 10
"""Units that are held at a time, however many sums each of them has: fewer make short products."""


@dataclass(frozen=True)
class TagChain:
    """How tags go together.

    Attributes:
        chain: The scores of two or three tags in a row.
        scheme: What the tags mean.
        sharpness: How much more than the others the best path counts in marginals, as in ``log_marginals``.
    """

    chain: AnyChain
    scheme: TagScheme
    sharpness: float = 1.0

    def choices(self, scores_UC: Array, link: Link, places: Ragged, *, scale: float = 1.0) -> Choices:
        """Return the evidence about all units of N rows: their marginals as scores, up to a constant of the unit.

        Args:
            scores_UC: Unnormalized scores of every unit's tags, floats or integers.
            link: From scores to probabilities.
            places: Where the units begin and end (exclusive) in their texts, N rows.
            scale: What the scores are multiplied with.
        """
        order, logs, paths, factors = [], [], [], []
        is_plain, goes_on_CC = self.scheme.is_plain, self.scheme.goes_on_CC
        # What is asked of spans is not sharpened; of plain tags each is decided by itself.
        powers = sorted({self.sharpness} if is_plain else {self.sharpness, 1.0}, reverse=True)
        for steps in Steps.blocks(places.offsets, max(BLOCK_SUMS // self.chain.num_sums, LEAST_UNITS)):
            block_UC = scores_UC.take(steps.units_U, axis=0) * np.float32(scale)
            reached = self.chain.reach(block_UC, steps, powers)
            order.append(steps.units_U)
            logs.append(reached[0].log_marginals().T / np.float32(self.sharpness))
            if not is_plain:
                paths.append(best_path(logs[-1], steps, self.scheme, are_logs=True))
                factors.append(reached[-1].path_steps(paths[-1], goes_on_CC))
        if not order:
            return Choices(np.empty(scores_UC.shape, dtype=np.float32), link, places.offsets, places.values)
        # To look up where a unit stands in this order is several times as fast as to put each in its place.
        place_U = np.empty(len(scores_UC), dtype=np.int64)
        place_U[np.concatenate(order)] = np.arange(len(scores_UC))
        logs_CU = np.concatenate(logs, axis=1).take(place_U, axis=1)
        if is_plain:
            return Choices(logs_CU.T, link, places.offsets, places.values)
        path_U, factors_FU = np.concatenate(paths)[place_U], np.concatenate(factors, axis=1).take(place_U, axis=1)
        joint_U = _joint_U(factors_FU, path_U, places.offsets, self.scheme)
        return Choices(logs_CU.T, link, places.offsets, places.values, joint_U, path_U)


def _joint_U(factors_FU: FloatArray, path_U: IntArray, offsets: IntArray, scheme: TagScheme) -> FloatArray:
    """Return at every unit how probable the span is that it is in, float32, NaN where it is in none.

    Each span has the share of all paths, weighed as the chain weighs them, that have exactly this span.

    Args:
        factors_FU: How probable the steps of the path are.
        path_U: The tags whose spans are asked for, a legal path.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Of the tags.
    """
    spans = find_spans(path_U, offsets, scheme)
    # Between the spans and at both ends there may be units that are in none.
    bounds = np.concatenate(([0], spans.bounds(), [len(path_U)]))
    values = np.full(len(bounds) - 1, np.nan, dtype=np.float32)
    if len(spans):
        values[1::2] = _joint_M(factors_FU, spans, offsets)
    return np.repeat(values, np.diff(bounds))


def _joint_M(factors_FU: FloatArray, spans: Spans, offsets: IntArray) -> FloatArray:
    """Return the probability of every span: its first tag, each step within it, and that it ends."""
    # Differences of long sums of logarithms would lose what products of few factors keep.
    (own_U, step_U, stop_U), (later_step_U, later_stop_U) = factors_FU[:3], factors_FU[-2:]
    factors_U = np.append(later_step_U, np.float32(1)).astype(np.float64)
    is_long = spans.end_M - spans.start_M > 1
    second = spans.start_M[is_long] + 1
    factors_U[second] = step_U[second]
    factors_U[spans.start_M] = own_U[spans.start_M]
    joint_M = np.multiply.reduceat(factors_U, spans.bounds())[::2]
    inside = spans.end_M < offsets[spans.row_M + 1]
    ends = spans.end_M[inside]
    joint_M[inside] *= np.where(is_long[inside], later_stop_U[ends], stop_U[ends])
    return np.asarray(np.clip(joint_M, 0, 1), dtype=np.float32)
