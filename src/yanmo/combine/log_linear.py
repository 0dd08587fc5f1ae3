"""The log-linear pool: a weighted sum of the members' log-probabilities, and its weights; it knows no text.

Where a mean follows the member that is surest, a product needs the members' consent; the sum of the weights sets how
sure the whole is, so the pool is calibrated as it is fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from yanmo.answers.links import Link
from yanmo.arrays import FloatArray
from yanmo.combine.averaging import blocks
from yanmo.combine.calibration import scipy_optimize

__all__ = ["log_average", "log_linear_weights"]

FLOOR = np.float32(1e-6)
"""No member can rule a label out by itself."""
# 32 MB of float32.
MAX_SCORES = 1 << 23


def log_average(members: Iterable[FloatArray], weights_K: Sequence[float], link: Link) -> FloatArray:
    """Return the weighted sum of K members' log-scores, logits_NC, float32.

    Args:
        members: K arrays of probabilities, shape (N, C); they are read one after the other.
        weights_K: At least 0; a larger sum makes the answer surer.
        link: From scores to probabilities.

    Source: Genest, Zidek 1986, "Combining Probability Distributions: A Critique and an Annotated Bibliography",
        Statistical Science 1(1), section 3 (the logarithmic opinion pool).
    """
    total_NC: FloatArray | None = None
    for weight, member_NC in zip(weights_K, members, strict=True):
        if total_NC is None:
            total_NC = np.zeros(member_NC.shape, dtype=np.float32)
        for rows in blocks(len(member_NC)):
            total_NC[rows] += np.float32(weight) * _scores(member_NC[rows], link)
    if total_NC is None:
        raise ValueError("a pool needs a member")
    return total_NC


def log_linear_weights(members: Sequence[FloatArray], targets_NC: FloatArray, link: Link) -> list[float]:
    """Return the weights, at least 0, whose pool has the least log loss; the loss is convex in them.

    Args:
        members: K arrays of probabilities, shape (N, C). Of more than 8,388,608 numbers evenly spread rows count.
        targets_NC: 1 where a label holds.
        link: From scores to probabilities.

    Raises:
        MissingExtraError: It needs scipy.

    Source: Heskes 1998, "Selecting Weighting Factors in Logarithmic Opinion Pools", NIPS 10.
    Differs: The weights need not sum to 1.
    """
    step = max(1, -(-len(members) * targets_NC.size // MAX_SCORES))
    targets_NC = targets_NC[::step]
    scores_KNC = np.stack([_scores(member_NC[::step], link) for member_NC in members])

    def loss(weights_K: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        probabilities_NC = link.activate(np.tensordot(weights_K.astype(np.float32), scores_KNC, axes=1))
        # The slope of the mean loss by each score, for both links alike.
        gaps_NC = (probabilities_NC - targets_NC) / (len(targets_NC) * link.num_answers(targets_NC.shape[1]))
        total = float(link.log_losses(probabilities_NC, targets_NC).mean())
        return total, np.array([np.vdot(scores_NC, gaps_NC) for scores_NC in scores_KNC], dtype=np.float64)

    start = np.full(len(members), 1 / len(members))
    minimize = scipy_optimize("A log-linear ensemble").minimize
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(members))
    return [float(weight) for weight in found.x.round(6)]


def _scores(member_NC: FloatArray, link: Link) -> FloatArray:
    return link.invert(np.clip(member_NC, FLOOR, 1 - FLOOR))
