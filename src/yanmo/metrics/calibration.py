"""How well probabilities match frequencies: the reliability diagram's bins and their error; it draws nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Doubles, IntArray

__all__ = [
    "CalibrationBins",
    "calibration_bins",
    "calibration_gaps",
    "calibration_interval",
    "expected_calibration_error",
]

NUM_BINS = 15


class CalibrationBins(NamedTuple):
    """Equal-width bins of confidence; all arrays have shape (num_bins,).

    Attributes:
        edges: Of the bins, shape (num_bins + 1,); a bin holds its upper edge, the first one its lower edge too.
        counts: Decisions in the bin.
        num_right: Decisions in the bin that were right.
        confidence: Mean confidence; NaN in an empty bin.
        accuracy: Share of right ones; NaN in an empty bin.
    """

    edges: Doubles
    counts: IntArray
    num_right: IntArray
    confidence: Doubles
    accuracy: Doubles


def calibration_bins(
    confidence_M: Doubles, right_M: npt.NDArray[np.bool_], *, num_bins: int = NUM_BINS
) -> CalibrationBins:
    """Return the bins of a reliability diagram.

    Args:
        confidence_M: Of M decisions, in [0, 1].
        right_M: Whether each was right.
        num_bins: Number of bins of equal width over [0, 1].
    """
    edges, places_M = _places(confidence_M, num_bins)
    counts = np.bincount(places_M, minlength=num_bins)
    num_right = np.bincount(places_M, weights=right_M, minlength=num_bins)
    confidence = np.bincount(places_M, weights=confidence_M, minlength=num_bins)
    means = (
        np.divide(total, counts, out=np.full(num_bins, np.nan), where=counts > 0) for total in (confidence, num_right)
    )
    return CalibrationBins(edges, counts.astype(np.int64), num_right.astype(np.int64), *means)


def _places(confidence_M: Doubles, num_bins: int) -> tuple[Doubles, IntArray]:
    """Return the edges of the bins and the bin of every decision."""
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    # side="left" puts a value at an edge into the bin below it; 0 has none below and is clipped into the first.
    return edges, np.clip(np.searchsorted(edges, confidence_M, side="left") - 1, 0, num_bins - 1)


def expected_calibration_error(bins: CalibrationBins) -> float:
    """Return the mean gap between confidence and accuracy, weighted by the bins' counts; NaN without decisions.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2, arXiv:1706.04599.
    """
    if not bins.counts.sum():
        return float("nan")
    # Empty bins have no means, and no weight either.
    gaps = np.abs(np.nan_to_num(bins.confidence) - np.nan_to_num(bins.accuracy))
    return float((gaps * bins.counts).sum() / bins.counts.sum())


def calibration_gaps(
    confidence_M: Doubles,
    right_M: npt.NDArray[np.bool_],
    num_rows: int,
    *,
    row_M: IntArray | None = None,
    num_bins: int = NUM_BINS,
) -> Doubles:
    """Return what every row adds to the gap of every bin, shape (num_rows, num_bins).

    The expected calibration error is the sum of the absolute column sums, divided by M.

    Args:
        confidence_M: Of M decisions.
        right_M: Whether each was right.
        num_rows: N.
        row_M: The row of each; None where every row has equally many, row after row.
        num_bins: Number of bins of equal width over [0, 1].
    """
    _, places_M = _places(confidence_M, num_bins)
    # A cell is a row and a bin: one bincount adds up all gaps.
    if row_M is None:
        row_M = np.repeat(np.arange(num_rows), len(confidence_M) // num_rows)
    cells_M = row_M * num_bins + places_M
    gaps = np.bincount(cells_M, weights=confidence_M - right_M, minlength=num_rows * num_bins)
    return np.asarray(gaps.reshape(num_rows, num_bins), dtype=np.float64)


def calibration_interval(gaps_B: Doubles, resampled_RB: Doubles) -> tuple[float, float]:
    """Return the 95 % interval of the expected calibration error.

    Args:
        gaps_B: The column sums of :func:`calibration_gaps`, divided by the number of decisions.
        resampled_RB: The same of resampled rows.

    Every gap has noise and counts without its sign, so the measured error lies above the true one and resampled errors
    lie higher still: their percentiles never hold the error of a calibrated model. Here the lower end is the error
    minus all of the gaps' noise, the most by which noise can have raised it, and the upper end is the error plus how
    far resampled errors spread above their median. An interval that begins at 0 cannot tell the model from a
    calibrated one.

    Source: Davison, Hinkley 1997, "Bootstrap Methods and their Application", section 5.2.1, the basic bootstrap.
    Differs: As said; the basic bootstrap itself holds the true error of nearly calibrated models too seldom.
    """
    error = float(np.abs(gaps_B).sum())
    # How far resampled gaps are from the measured ones, all bins together, whatever their signs.
    noise = float(np.percentile(np.abs(resampled_RB - gaps_B).sum(axis=1), 97.5))
    middle, high = np.percentile(np.abs(resampled_RB).sum(axis=1), (50, 97.5))
    return max(0.0, error - noise), min(1.0, error + float(high - middle))
