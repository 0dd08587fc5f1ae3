"""The log-linear pool: a weighted sum of the members' log-probabilities, and its weights; it knows no text.

Where a mean follows the member that is surest, a product needs the members' consent; the sum of the weights sets how
sure the whole is, so the pool is calibrated as it is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from yanmo.answers.answered import Evidence
from yanmo.answers.choices import Choices
from yanmo.arrays import Doubles, take_rows
from yanmo.combine.averaging import average
from yanmo.combine.calibration import scipy_optimize
from yanmo.protocols import Task

__all__ = ["log_average", "log_linear_weights"]

EvidenceT = TypeVar("EvidenceT", bound=Evidence)
PoolLoss = Callable[[Doubles], Any]
FLOOR = 1e-6
"""No member can rule a choice out by itself."""
STEP = 1e-3
# 32 MB of float32.
MAX_SCORES = 1 << 23


def log_average(members: Iterable[EvidenceT], weights_K: Sequence[float]) -> EvidenceT:
    """Return the weighted sum of K members' log-scores, float32: scores again.

    Args:
        members: K pieces of evidence, probabilities; they are read one after the other.
        weights_K: At least 0; a larger sum makes the answer surer.

    Source: Genest, Zidek 1986, "Combining Probability Distributions: A Critique and an Annotated Bibliography",
        Statistical Science 1(1), section 3 (the logarithmic opinion pool).
    """
    is_possible: list[npt.NDArray[np.bool_]] = []

    def scores() -> Iterable[EvidenceT]:
        for member in members:
            # What one member rules out the others may choose; what all rule out stays ruled out.
            allowed = [values > 0 for values in member.parts()]
            is_possible[:] = [one | other for one, other in zip(is_possible or allowed, allowed, strict=True)]
            yield member.invert(floor=FLOOR)

    pooled = average(scores(), weights_K)
    kept = zip(pooled.parts(), is_possible, strict=True)
    return pooled.with_parts(*[np.where(allowed, values, np.float32(-np.inf)) for values, allowed in kept])


def log_linear_weights(members: Sequence[Any], targets: Any, task: Task[Any]) -> list[float]:
    """Return the weights, at least 0, whose pool has the least log loss; for labels it is convex in them.

    Args:
        members: K pieces of evidence, probabilities. Of more than 8,388,608 numbers evenly spread rows count.
        targets: What holds, as the task has it.
        task: Says what the loss of a decision is.

    Raises:
        MissingExtraError: It needs scipy.

    Source: Heskes 1998, "Selecting Weighting Factors in Logarithmic Opinion Pools", NIPS 10.
    Differs: The weights need not sum to 1.
    """
    size = sum(values.size for member in members for values in member.parts())
    rows = np.arange(0, len(members[0]), max(1, -(-size // MAX_SCORES)))
    scores_K = [member.take(rows).invert(floor=FLOOR) for member in members]
    loss, has_slopes = _loss(scores_K, take_rows(targets, rows), task)
    start = np.full(len(members), 1 / len(members))
    minimize = scipy_optimize("A log-linear ensemble").minimize
    # Sums are in float32: a step that is as small as scipy's own changes none of them.
    options = {} if has_slopes else {"eps": STEP}
    bounds = [(0, None)] * len(members)
    found = minimize(loss, start, jac=has_slopes, method="L-BFGS-B", bounds=bounds, options=options)
    return [float(weight) for weight in found.x.round(6)]


def _loss(scores_K: Sequence[Any], targets: Any, task: Any) -> tuple[PoolLoss, bool]:
    """Return the mean log loss of a pool by its weights, and whether it comes with its slopes: of labels it does."""
    if task.form is Choices:
        return _loss_of_labels(*zip(*(task.labeled(one, targets) for one in scores_K), strict=True)), True

    def loss(weights_K: Doubles) -> float:
        return float(task.losses_M(average(scores_K, weights_K.tolist()).activate(), targets).mean())

    return loss, False


def _loss_of_labels(scores_K: Sequence[Choices], targets_KMC: Sequence[Any]) -> PoolLoss:
    link, targets_MC = scores_K[0].link, targets_KMC[0]
    scores_KMC = np.stack([one.values_MC for one in scores_K])

    def loss(weights_K: Doubles) -> tuple[float, Doubles]:
        probabilities_MC = link.activate(np.tensordot(weights_K.astype(np.float32), scores_KMC, axes=1))
        # The slope of the mean loss by each score, for both links alike.
        gaps_MC = (probabilities_MC - targets_MC) / (len(targets_MC) * link.num_answers(targets_MC.shape[1]))
        total = float(link.log_losses(probabilities_MC, targets_MC).mean())
        return total, np.array([np.vdot(scores_MC, gaps_MC) for scores_MC in scores_KMC], dtype=np.float64)

    return loss
