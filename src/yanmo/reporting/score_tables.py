"""Counts, bins and losses to the tables and intervals of a Report, whatever was decided about; it scores nothing.

Legend: N rows, M decisions, C labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from yanmo import metrics
from yanmo.arrays import Array, Doubles, IntArray
from yanmo.metrics.measures import Measure, measure_with_intervals

__all__ = ["calibration_rows", "confusion_tables", "label_rows", "loss_intervals", "scores_of_texts"]

MATRIX_LABELS = 100
NUM_PAIRS = 30


def loss_intervals(
    losses_N: Array, decided: tuple[Array, Array], *, num_resamples: int, seed: int, row_M: IntArray | None = None
) -> dict[str, Any]:
    """Return the intervals of the log loss and of the calibration error, from the same resamples.

    Args:
        losses_N: Of every row, in nats.
        decided: The confidence of M decisions, and whether each was right.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
        row_M: The row of each decision; None where every row has equally many, row after row.
    """
    num_rows, num_decisions = len(losses_N), len(decided[0])
    gaps_NB = metrics.calibration_gaps(*decided, num_rows=num_rows, row_M=row_M)
    counts_N = np.full(num_rows, num_decisions / num_rows) if row_M is None else np.bincount(row_M, minlength=num_rows)
    # Side by side, so that one resampling serves all.
    values_NV = np.column_stack([losses_N / num_rows, counts_N, gaps_NB])
    sums_RV = metrics.resample_sums(values_NV, num_resamples=num_resamples, seed=seed)
    gaps_B = gaps_NB.sum(axis=0) / max(num_decisions, 1)
    # Rows have more or fewer decisions, and resamples of them, too; one without any has no gaps.
    resampled_RB = sums_RV[:, 2:] / np.maximum(sums_RV[:, 1:2], 1)
    error = metrics.calibration_interval(gaps_B, resampled_RB) if num_decisions else None
    return {
        "log_loss_interval": metrics.percentile_interval(sums_RV[:, 0]),
        "expected_calibration_error_interval": error,
    }


def label_rows(counts: metrics.LabelCounts, labels: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the scores and counts of every label.

    Args:
        counts: Of C labels.
        labels: Their names.
    """
    columns = [column.tolist() for column in (*metrics.precision_recall_f1(counts), counts.support, counts.chosen)]
    names = ("label", "precision", "recall", "f1", "support", "predicted")
    rows = [dict(zip(names, row, strict=True)) for row in zip(labels, *columns, strict=True)]
    return [{**row, "support": int(row["support"]), "predicted": int(row["predicted"])} for row in rows]


def confusion_tables(matrix_CC: IntArray | None, labels: Sequence[str], support_C: Array) -> dict[str, Any]:
    """Return the matrix (truth down, choice across) for up to 100 labels, and the most confused pairs.

    Args:
        matrix_CC: How often a label (row) was taken for one (column); None where labels do not exclude each other.
        labels: Their names.
        support_C: How often each holds; a pair's share is a share of that.
    """
    if matrix_CC is None:
        return {"confusion_matrix": None, "most_confused": []}
    # The matrix itself is shown with its diagonal.
    confused = matrix_CC.copy()
    np.fill_diagonal(confused, 0)
    order = np.argsort(-confused, axis=None, kind="stable")[:NUM_PAIRS]
    cells = [divmod(int(cell), len(labels)) for cell in order if confused.flat[cell]]
    pairs = [
        {
            "label": labels[row],
            "predicted": labels[column],
            "count": int(confused[row, column]),
            "share": float(confused[row, column] / support_C[row]),
        }
        for row, column in cells
    ]
    return {
        "confusion_matrix": matrix_CC.tolist() if len(labels) <= MATRIX_LABELS else None,
        "most_confused": pairs,
    }


def calibration_rows(bins: metrics.CalibrationBins) -> list[dict[str, Any]]:
    """Return the bins of a reliability diagram, one row each."""
    columns = (bins.edges[:-1], bins.edges[1:], bins.counts, bins.num_right, bins.confidence, bins.accuracy)
    names = ("lower", "upper", "count", "num_right", "confidence", "accuracy")
    return [dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]


def scores_of_texts(
    statistics_NS: Doubles, measures: Sequence[Measure], *, num_resamples: int, seed: int
) -> dict[str, Any]:
    """Return every measure of whole texts with its interval as JSON values, and which measures they are.

    Args:
        statistics_NS: What the measures are computed from, N >= 1 texts.
        measures: The headline first.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    measured = measure_with_intervals(statistics_NS, measures, num_resamples=num_resamples, seed=seed)
    scores: dict[str, Any] = {"headline": measures[0].describe(), "measures": [one.describe() for one in measures]}
    for name, one in measured.items():
        # Of a single text every resample is the text itself.
        scores |= {name: one.value, f"{name}_interval": one.interval if len(statistics_NS) > 1 else None}
    return scores
