"""Tags of units to the JSON values of a Report: scores by kind, calibration, what is wrong with spans.

The keys are those of ``quality.measure_quality``, with spans in the place of rows, so that one page shows both.

Legend: N rows, M spans, U units, K kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yanmo import metrics
from yanmo.answers.choices import Choices
from yanmo.answers.legal_paths import best_legal
from yanmo.answers.spans import Spans, span_probability_M
from yanmo.answers.tags import TagScheme
from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged
from yanmo.metrics.measures import measure_with_intervals
from yanmo.metrics.span_errors import count_span_errors
from yanmo.metrics.spans import count_spans, labeled_spans, same_place, same_span_M
from yanmo.protocols import Task
from yanmo.reporting.score_tables import calibration_rows, confusion_tables, label_rows, loss_intervals

__all__ = ["JudgedSpans", "judge_spans", "measure_tag_calibration", "measure_tag_quality"]


class JudgedSpans(NamedTuple):
    """Spans that were found, held against those of the truth; neither touch units without a label.

    Attributes:
        scheme: Of the tags.
        found: M spans.
        truth: The spans that hold.
        probability_M: How sure each found span is, float64.
        right_M: Whether it is right.
        chosen_U: The probability of every unit's chosen tag.
    """

    scheme: TagScheme
    found: Spans
    truth: Spans
    probability_M: Doubles
    right_M: npt.NDArray[np.bool_]
    chosen_U: FloatArray


def judge_spans(evidence: Choices, targets: Ragged, labels: Sequence[str]) -> JudgedSpans:
    """Return the spans that are found by evidence, held against those of the truth.

    Args:
        evidence: Probabilities of every unit's tags.
        targets: The tag of every unit, a place in ``labels``; -1 where a unit has none.
        labels: C tags, the columns.
    """
    scheme, offsets = TagScheme.of(labels), evidence.offsets_N
    path_U = best_legal(evidence.values_MC, offsets, scheme)
    found, truth = labeled_spans(path_U, targets.values, offsets, scheme)
    probability_M = span_probability_M(evidence, path_U, scheme, found).astype(np.float64)
    chosen_U = np.take_along_axis(evidence.values_MC, path_U[:, None], axis=1)[:, 0]
    return JudgedSpans(scheme, found, truth, probability_M, same_span_M(found, truth), chosen_U)


def measure_tag_quality(
    evidence: Choices,
    targets: Ragged,
    labels: Sequence[str],
    task: Task[Choices],
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return every measure of the quality of tags as JSON values (NaN where there is none).

    Args:
        evidence: Probabilities of every unit's tags, N >= 1 rows.
        targets: The tag of every unit, a place in ``labels``; -1 where a unit has none.
        labels: C tags, the columns.
        task: Says what is counted and measured.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    judged, statistics_NS = judge_spans(evidence, targets, labels), task.statistics(evidence, targets)
    kinds, counts = judged.scheme.kinds, count_spans(statistics_NS.sum(axis=0, dtype=np.float64))
    measured = measure_with_intervals(statistics_NS, task.measures, num_resamples=num_resamples, seed=seed)
    scores: dict[str, Any] = {
        "num_rows": len(targets),
        "num_units": len(targets.values),
        "num_unlabeled_units": int((targets.values < 0).sum()),
        "counted": "units" if judged.scheme.is_plain else "spans",
        "headline": task.measures[0].describe(),
        "measures": [one.describe() for one in task.measures],
    }
    for name, one in measured.items():
        scores |= {name: one.value, f"{name}_interval": one.interval}
    losses_N, decided = task.losses_N(evidence, targets), (judged.probability_M, judged.right_M)
    return scores | {
        **_calibration(judged, losses_N),
        **loss_intervals(losses_N, decided, num_resamples=num_resamples, seed=seed, row_M=judged.found.row_M),
        # Of one span there is no other one that it could rank before.
        "roc_auc": None,
        "roc_auc_interval": None,
        "per_label": label_rows(counts, kinds),
        **confusion_tables(_confused_kinds(judged) if len(kinds) > 1 else None, kinds, counts.support),
        "span_errors": None if judged.scheme.is_plain else count_span_errors(judged.found, judged.truth),
    }


def measure_tag_calibration(
    evidence: Choices, targets: Ragged, labels: Sequence[str], task: Task[Choices]
) -> dict[str, Any]:
    """Return log loss, calibration error of spans and the bins of the reliability diagram, as JSON values.

    Args:
        evidence: Probabilities of every unit's tags, N >= 1 rows.
        targets: The tag of every unit; -1 where a unit has none.
        labels: C tags, the columns.
        task: Says what a row's loss is.
    """
    return _calibration(judge_spans(evidence, targets, labels), task.losses_N(evidence, targets))


def _calibration(judged: JudgedSpans, losses_N: Doubles) -> dict[str, Any]:
    bins = metrics.calibration_bins(judged.probability_M, judged.right_M)
    return {
        "log_loss": float(losses_N.mean()),
        "expected_calibration_error": metrics.expected_calibration_error(bins),
        "calibration": calibration_rows(bins),
    }


def _confused_kinds(judged: JudgedSpans) -> IntArray:
    """Return how often a span of one kind (row) was found at its place, as one of another kind (column)."""
    num_kinds = len(judged.scheme.kinds)
    ours, theirs = same_place(judged.found, judged.truth)
    cells = judged.truth.kind_M[theirs] * num_kinds + judged.found.kind_M[ours]
    return np.bincount(cells, minlength=num_kinds**2).reshape(num_kinds, num_kinds).astype(np.int64)
