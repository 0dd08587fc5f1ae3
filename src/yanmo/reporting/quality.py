"""Arrays to the JSON values of a Report: scores with intervals, tables, the worst mistakes; it knows no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo import metrics
from yanmo.answers.links import Link

__all__ = ["compare", "measure_calibration", "measure_quality", "worst_mistakes"]

MATRIX_LABELS = 100
NUM_PAIRS = 30
Array = npt.NDArray[Any]


def measure_quality(
    probabilities_NC: Array,
    chosen_NC: Array,
    targets_NC: Array,
    labels: Sequence[str],
    *,
    link: Link,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return every measure of quality as JSON values (NaN where there is none).

    Accuracy has Wilson's interval, AUC that of DeLong, the calibration error its own, the others the percentile
    bootstrap's.

    Args:
        probabilities_NC: In [0, 1], shape (N, C), N >= 1.
        chosen_NC: Where a label was given, bool.
        targets_NC: 1 where a label holds.
        labels: C labels, the columns.
        link: From scores to probabilities.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    counts = metrics.label_counts(chosen_NC, targets_NC)
    (resampled,) = metrics.bootstrap([chosen_NC], targets_NC, num_resamples=num_resamples, seed=seed)
    losses_N = link.log_losses(probabilities_NC, targets_NC)
    decided = link.answers(probabilities_NC, chosen_NC, targets_NC)
    area = metrics.roc_auc(probabilities_NC, targets_NC, link)
    accuracy = metrics.accuracy(chosen_NC, targets_NC)
    averages = {"macro_f1": metrics.macro_f1, "micro_f1": metrics.micro_f1, "weighted_f1": metrics.weighted_f1}
    scores = {
        "num_rows": len(targets_NC),
        "accuracy": accuracy,
        "accuracy_interval": metrics.wilson_interval(round(accuracy * len(targets_NC)), len(targets_NC)),
    }
    for name, average in averages.items():
        scores |= {name: float(average(counts)), f"{name}_interval": metrics.percentile_interval(resampled[name])}
    return scores | {
        **measure_calibration(probabilities_NC, chosen_NC, targets_NC, link=link),
        **_loss_intervals(losses_N, decided, num_resamples=num_resamples, seed=seed),
        "roc_auc": area.area if area else None,
        "roc_auc_interval": area.interval if area else None,
        "per_label": _per_label(counts, labels),
        **_confusion(chosen_NC, targets_NC, labels, link=link),
    }


def _loss_intervals(losses_N: Array, decided: tuple[Array, Array], *, num_resamples: int, seed: int) -> dict[str, Any]:
    """Return the intervals of the log loss and of the calibration error, from the same resamples."""
    num_rows, num_decisions = len(losses_N), len(decided[0])
    gaps_NB = metrics.calibration_gaps(*decided, num_rows=num_rows)
    values_NV = np.column_stack([losses_N / num_rows, gaps_NB / num_decisions])
    sums_RV = metrics.resample_sums(values_NV, num_resamples=num_resamples, seed=seed)
    return {
        "log_loss_interval": metrics.percentile_interval(sums_RV[:, 0]),
        "expected_calibration_error_interval": metrics.calibration_interval(
            values_NV[:, 1:].sum(axis=0), sums_RV[:, 1:]
        ),
    }


def measure_calibration(probabilities_NC: Array, chosen_NC: Array, targets_NC: Array, *, link: Link) -> dict[str, Any]:
    """Return log loss, calibration error and the bins of the reliability diagram, as JSON values.

    Args:
        probabilities_NC: In [0, 1], shape (N, C), N >= 1.
        chosen_NC: Where a label was given, bool.
        targets_NC: 1 where a label holds.
        link: From scores to probabilities.
    """
    bins = metrics.calibration_bins(*link.answers(probabilities_NC, chosen_NC, targets_NC))
    return {
        "log_loss": float(link.log_losses(probabilities_NC, targets_NC).mean()),
        "expected_calibration_error": metrics.expected_calibration_error(bins),
        "calibration": _bin_rows(bins),
    }


def compare(chosen_NC: Array, against_NC: Array, targets_NC: Array, *, num_resamples: int, seed: int) -> dict[str, Any]:
    """Return how much better the first model is than the one it is held against, on the same rows.

    Args:
        chosen_NC: The labels the first model gave, bool.
        against_NC: The labels the other model gave, bool.
        targets_NC: 1 where a label holds.
        num_resamples: Of the paired bootstrap.
        seed: Of the paired bootstrap.
    """
    intervals = metrics.paired_difference(chosen_NC, against_NC, targets_NC, num_resamples=num_resamples, seed=seed)
    right_N, against_right_N = (np.all(one == targets_NC.astype(bool), axis=1) for one in (chosen_NC, against_NC))
    test = metrics.mcnemar(right_N, against_right_N)
    ours, theirs = (metrics.label_counts(one, targets_NC) for one in (chosen_NC, against_NC))
    return {
        "accuracy": float(against_right_N.mean()),
        "macro_f1": float(metrics.macro_f1(theirs)),
        "accuracy_difference": float(right_N.mean() - against_right_N.mean()),
        "accuracy_difference_interval": intervals["accuracy"],
        "macro_f1_difference": float(metrics.macro_f1(ours) - metrics.macro_f1(theirs)),
        "macro_f1_difference_interval": intervals["macro_f1"],
        "only_this_right": test.only_first,
        "only_against_right": test.only_second,
        "mcnemar_p_value": test.p_value,
    }


def worst_mistakes(
    probabilities_NC: Array, chosen_NC: Array, targets_NC: Array, *, link: Link, num_mistakes: int
) -> list[tuple[int, float]]:
    """Return the rows that were wrong with the most confidence, each with it, the most confident first.

    With many labels a row the confidence is that of the row's most confident wrong decision.
    """
    wrong_NC = chosen_NC != targets_NC.astype(bool)
    confidence_NC = np.where(chosen_NC, probabilities_NC, 1 - probabilities_NC)
    counted_NC = wrong_NC & chosen_NC if link.excludes else wrong_NC
    confidence_N = np.where(counted_NC, confidence_NC, -1.0).max(axis=1, initial=-1.0)
    order = np.argsort(-confidence_N, kind="stable")[:num_mistakes]
    return [(int(row), float(confidence_N[row])) for row in order if confidence_N[row] >= 0]


def _per_label(counts: metrics.LabelCounts, labels: Sequence[str]) -> list[Mapping[str, Any]]:
    columns = [column.tolist() for column in (*metrics.precision_recall_f1(counts), counts.support, counts.chosen)]
    names = ("label", "precision", "recall", "f1", "support", "predicted")
    rows = [dict(zip(names, row, strict=True)) for row in zip(labels, *columns, strict=True)]
    return [{**row, "support": int(row["support"]), "predicted": int(row["predicted"])} for row in rows]


def _confusion(chosen_NC: Array, targets_NC: Array, labels: Sequence[str], *, link: Link) -> dict[str, Any]:
    """Return the matrix (truth down, choice across) for up to 100 labels, and the most confused pairs."""
    if not link.excludes:
        return {"confusion_matrix": None, "most_confused": []}
    matrix = metrics.confusion_matrix(chosen_NC, targets_NC)
    confused = matrix.copy()
    np.fill_diagonal(confused, 0)
    order = np.argsort(-confused, axis=None, kind="stable")[:NUM_PAIRS]
    cells = [divmod(int(cell), len(labels)) for cell in order if confused.flat[cell]]
    pairs = [
        {
            "label": labels[row],
            "predicted": labels[column],
            "count": int(confused[row, column]),
            "share": float(confused[row, column] / matrix[row].sum()),
        }
        for row, column in cells
    ]
    return {
        "confusion_matrix": matrix.tolist() if len(labels) <= MATRIX_LABELS else None,
        "most_confused": pairs,
    }


def _bin_rows(bins: metrics.CalibrationBins) -> list[dict[str, Any]]:
    columns = (bins.edges[:-1], bins.edges[1:], bins.counts, bins.num_right, bins.confidence, bins.accuracy)
    names = ("lower", "upper", "count", "num_right", "confidence", "accuracy")
    return [dict(zip(names, row, strict=True)) for row in zip(*(column.tolist() for column in columns), strict=True)]
