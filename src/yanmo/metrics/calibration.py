"""How well probabilities match frequencies: the reliability diagram's bins and their error; it draws nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yanmo.protocols import IntArray

__all__ = ["CalibrationBins", "calibration_bins", "decisions", "expected_calibration_error"]

NUM_BINS = 15
Doubles = npt.NDArray[np.float64]


class CalibrationBins(NamedTuple):
    """Equal-width bins of confidence; all arrays have shape (num_bins,).

    Attributes:
        edges: Of the bins, shape (num_bins + 1,); a bin holds its upper edge, the first one its lower edge too.
        counts: Decisions in the bin.
        num_right: Those of them that were right.
        confidence: Mean confidence; NaN in an empty bin.
        accuracy: Share of right ones; NaN in an empty bin.
    """

    edges: Doubles
    counts: IntArray
    num_right: IntArray
    confidence: Doubles
    accuracy: Doubles


def decisions(
    probabilities_NC: npt.NDArray[Any],
    chosen_NC: npt.NDArray[Any],
    targets_NC: npt.NDArray[Any],
    *,
    exclusive: bool,
) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Return the confidence of every decision, float64, and whether it was right.

    Args:
        probabilities_NC: In [0, 1].
        chosen_NC: Where a label was given.
        targets_NC: 1 where a label holds.
        exclusive: One decision a row: its chosen label. Else one decision for each row and label, N * C of them:
            the label's probability where it was given, 1 minus it where it was not.
    """
    chosen_NC, targets_NC = chosen_NC.astype(bool), targets_NC.astype(bool)
    probabilities_NC = probabilities_NC.astype(np.float64)
    if exclusive:
        places_N = chosen_NC.argmax(axis=1)[:, None]
        confidence_N = np.take_along_axis(probabilities_NC, places_N, axis=1)[:, 0]
        return confidence_N, np.take_along_axis(targets_NC, places_N, axis=1)[:, 0]
    confidence_NC = np.where(chosen_NC, probabilities_NC, 1 - probabilities_NC)
    return confidence_NC.ravel(), (chosen_NC == targets_NC).ravel()


def calibration_bins(
    confidence_M: Doubles, right_M: npt.NDArray[np.bool_], *, num_bins: int = NUM_BINS
) -> CalibrationBins:
    """Return the bins of a reliability diagram.

    Args:
        confidence_M: Of M decisions, in [0, 1].
        right_M: Whether each was right.
        num_bins: Number of bins of equal width over [0, 1].
    """
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    places_M = np.clip(np.searchsorted(edges, confidence_M, side="left") - 1, 0, num_bins - 1)
    counts = np.bincount(places_M, minlength=num_bins)
    num_right = np.bincount(places_M, weights=right_M, minlength=num_bins)
    confidence = np.bincount(places_M, weights=confidence_M, minlength=num_bins)
    means = (
        np.divide(total, counts, out=np.full(num_bins, np.nan), where=counts > 0) for total in (confidence, num_right)
    )
    return CalibrationBins(edges, counts.astype(np.int64), num_right.astype(np.int64), *means)


def expected_calibration_error(bins: CalibrationBins) -> float:
    """Return the mean gap between confidence and accuracy, weighted by the bins' counts; NaN without decisions.

    It has no bootstrap interval: resampling adds noise to every gap, so the resampled errors lie above the measured.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2, arXiv:1706.04599.
    """
    if not bins.counts.sum():
        return float("nan")
    gaps = np.abs(np.nan_to_num(bins.confidence) - np.nan_to_num(bins.accuracy))
    return float((gaps * bins.counts).sum() / bins.counts.sum())
