"""Scores of units' tags and a chain over them, as evidence: marginals, and the probability of each span as a whole.

It knows no model and no text.

Legend: U units of N rows, C tags, M spans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yanmo.answers.chains import AnyChain, PathSteps, Steps, SummedPaths, row_blocks
from yanmo.answers.choices import Choices
from yanmo.answers.legal_paths import best_legal
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
        found_UC = np.empty(scores_UC.shape, dtype=np.float32)
        # Of plain tags each is decided by itself.
        joint_U = None if self.scheme.is_plain else np.empty(len(scores_UC), dtype=np.float32)
        path_U = None if self.scheme.is_plain else np.empty(len(scores_UC), dtype=np.int64)
        power = np.float32(self.sharpness)
        for units, inner in row_blocks(places.offsets, max(BLOCK_SUMS // self.chain.num_sums, LEAST_UNITS)):
            block_UC, steps = scores_UC[units] * np.float32(scale), Steps.of(inner)
            sharpened = self.chain.sharpened(power).reach(block_UC * power, steps)
            found_UC[units] = logs_UC = sharpened.log_marginals() / power
            if joint_U is not None and path_U is not None:
                plain = sharpened if power == 1 else self.chain.reach(block_UC, steps)
                path_U[units] = best = best_legal(logs_UC, inner, self.scheme, are_logs=True)
                joint_U[units] = _joint_U(plain, best, inner, self.scheme)
        return Choices(found_UC, link, places.offsets, places.values, joint_U, path_U)


def _joint_U(reached: SummedPaths, path_U: IntArray, offsets: IntArray, scheme: TagScheme) -> FloatArray:
    """Return at every unit how probable the span is that it is in, float32, NaN where it is in none.

    Each span has the share of all paths, weighed as the chain weighs them, that have exactly this span.

    Args:
        reached: What all paths sum to.
        path_U: The tags whose spans are asked for, a legal path.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Of the tags.
    """
    found_U = np.full(len(path_U), np.nan, dtype=np.float32)
    spans = find_spans(path_U, offsets, scheme)
    if len(spans):
        sums = reached.path_steps(path_U, scheme.goes_on_CC())
        lengths_M = spans.end_M - spans.start_M
        places = np.arange(lengths_M.sum()) + np.repeat(spans.start_M - np.cumsum(lengths_M) + lengths_M, lengths_M)
        found_U[places] = np.repeat(_joint_M(sums, spans, offsets), lengths_M)
    return found_U


def _joint_M(sums: PathSteps, spans: Spans, offsets: IntArray) -> FloatArray:
    """Return the probability of every span: its first tag, each step within it, and that it ends."""
    # Differences of long sums of logarithms would lose what products of few factors keep.
    factors_U = sums.second_step_U.astype(np.float64)
    factors_U[spans.start_M] = sums.own_U[spans.start_M]
    is_long = spans.end_M - spans.start_M > 1
    second = spans.start_M[is_long] + 1
    factors_U[second] = sums.step_U[second]
    bounds = np.stack([spans.start_M, spans.end_M], axis=1).ravel()
    joint_M = np.multiply.reduceat(np.append(factors_U, 1.0), bounds)[::2]
    inside = spans.end_M < offsets[spans.row_M + 1]
    ends = spans.end_M[inside]
    joint_M[inside] *= np.where(is_long[inside], sums.second_stop_U[ends], sums.stop_U[ends])
    return np.asarray(np.clip(joint_M, 0, 1), dtype=np.float32)
