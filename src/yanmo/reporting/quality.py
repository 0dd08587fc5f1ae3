"""Arrays to the JSON values of a Report: scores with intervals, tables, the worst mistakes; it knows no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo import metrics
from yanmo.answers.choices import Choices
from yanmo.arrays import Array
from yanmo.metrics.measures import compare, measure_with_intervals, shown_measures
from yanmo.protocols import Task
from yanmo.reporting.score_tables import calibration_rows, confusion_tables, label_rows, loss_intervals
from yanmo.tasks.labels import LabelTask

__all__ = ["compare_answers", "measure_calibration", "measure_quality", "worst_mistakes"]


def measure_quality(
    evidence: Choices,
    targets_NC: Array,
    labels: Sequence[str],
    task: LabelTask,
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return every measure of quality as JSON values (NaN where there is none).

    A share of rows has Wilson's interval, AUC that of DeLong, the calibration error its own, the others the percentile
    bootstrap's.

    Args:
        evidence: Probabilities, N >= 1.
        targets_NC: 1 where a label holds.
        labels: C labels, the columns.
        task: Says what is counted and measured.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    probabilities_NC, link = evidence.values_MC, evidence.link
    chosen_NC, statistics_NS = task.choose(probabilities_NC), task.statistics(evidence, targets_NC)
    measured = measure_with_intervals(statistics_NS, task.measures, num_resamples=num_resamples, seed=seed)
    area = metrics.roc_auc(probabilities_NC, targets_NC, link)
    answers = link.answers(probabilities_NC, chosen_NC, targets_NC)
    counts = metrics.label_counts(chosen_NC, targets_NC)
    matrix = metrics.confusion_matrix(chosen_NC, targets_NC) if link.excludes else None
    scores: dict[str, Any] = {"num_rows": len(targets_NC), "headline": task.measures[0].describe()}
    scores["measures"] = [one.describe() for one in task.measures]
    for name, one in measured.items():
        scores |= {name: one.value, f"{name}_interval": one.interval}
    return scores | {
        **measure_calibration(evidence, targets_NC, labels, task),
        **loss_intervals(task.losses_N(evidence, targets_NC), answers, num_resamples=num_resamples, seed=seed),
        "roc_auc": area.area if area else None,
        "roc_auc_interval": area.interval if area else None,
        "per_label": label_rows(counts, labels),
        **confusion_tables(matrix, labels, counts.support),
    }


def measure_calibration(
    evidence: Choices,
    targets_NC: Array,
    labels: Sequence[str],  # noqa: ARG001 - one signature with tags
    task: LabelTask,
) -> dict[str, Any]:
    """Return log loss, calibration error and the bins of the reliability diagram, as JSON values.

    Args:
        evidence: Probabilities, N >= 1.
        targets_NC: 1 where a label holds.
        labels: C labels, the columns.
        task: Says which labels were given.
    """
    chosen_NC = task.choose(evidence.values_MC)
    bins = metrics.calibration_bins(*evidence.link.answers(evidence.values_MC, chosen_NC, targets_NC))
    return {
        "log_loss": float(task.losses_N(evidence, targets_NC).mean()),
        "expected_calibration_error": metrics.expected_calibration_error(bins),
        "calibration": calibration_rows(bins),
    }


def compare_answers(
    ours: Any, theirs: Any, targets: Any, task: Task[Any], *, num_resamples: int, seed: int
) -> dict[str, Any]:
    """Return how much better one model's answers are than another's on the same rows, as JSON values.

    Args:
        ours: Evidence of the first model.
        theirs: Evidence of the other.
        targets: What the task holds answers against.
        task: Says what is counted and measured.
        num_resamples: Of the paired bootstrap.
        seed: Of the paired bootstrap.
    """
    ours_NS, theirs_NS = (task.statistics(one, targets) for one in (ours, theirs))
    shown = shown_measures(task.measures)
    found = compare(ours_NS, theirs_NS, shown, num_resamples=num_resamples, seed=seed)
    test = metrics.mcnemar(task.right_N(ours, targets), task.right_N(theirs, targets))
    values: dict[str, Any] = {}
    for name, one in found.items():
        values |= {name: one.theirs, f"{name}_difference": one.difference, f"{name}_difference_interval": one.interval}
    return values | {
        "only_this_right": test.only_first,
        "only_against_right": test.only_second,
        "mcnemar_p_value": test.p_value,
    }


def worst_mistakes(
    evidence: Choices, targets_NC: Array, task: LabelTask, *, num_mistakes: int
) -> list[tuple[int, float]]:
    """Return the rows that were wrong with the most confidence, each with it, the most confident first.

    With many labels a row the confidence is that of the row's most confident wrong decision.
    """
    probabilities_NC, link = evidence.values_MC, evidence.link
    chosen_NC = task.choose(probabilities_NC)
    wrong_NC = chosen_NC != targets_NC.astype(bool)
    confidence_NC = np.where(chosen_NC, probabilities_NC, 1 - probabilities_NC)
    # Where one label holds, a wrong row has two wrong cells; that of the label that was chosen counts.
    counted_NC = wrong_NC & chosen_NC if link.excludes else wrong_NC
    confidence_N = np.where(counted_NC, confidence_NC, -1.0).max(axis=1, initial=-1.0)
    order = np.argsort(-confidence_N, kind="stable")[:num_mistakes]
    # Rows without a mistake were given -1.
    return [(int(row), float(confidence_N[row])) for row in order if confidence_N[row] >= 0]
