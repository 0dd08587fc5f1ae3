"""How good answers in passages are, as the JSON values of a Report: scores, calibration, the worst mistakes.

The threshold of "no answer" is where the model itself puts it. What the best one would give on these very rows stands
beside it under a name of its own, since nobody knows that one beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from yanmo import metrics
from yanmo.answers.passage_truth import PassageTruth
from yanmo.answers.pointers import Pointers
from yanmo.arrays import Doubles
from yanmo.metrics.measures import measure_with_intervals
from yanmo.metrics.reading import best_threshold
from yanmo.reporting.score_tables import calibration_rows, confusion_tables, loss_intervals
from yanmo.tasks.span import ReadsPassages

__all__ = ["measure_passage_calibration", "measure_passage_quality", "worst_passage_mistakes"]

TEXT_CHARACTERS = 2000


def measure_passage_quality(
    evidence: Pointers,
    targets: PassageTruth,
    labels: Sequence[str],
    task: ReadsPassages,
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return every measure of answers as JSON values (NaN where there is none).

    Args:
        evidence: Probabilities of N >= 1 rows.
        targets: What holds.
        labels: Answer and none.
        task: Says what is decided, counted and measured.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    statistics_NS = task.statistics(evidence, targets)
    measured = measure_with_intervals(statistics_NS, task.measures, num_resamples=num_resamples, seed=seed)
    scores: dict[str, Any] = {
        "num_rows": len(targets),
        "num_answerable": int(targets.is_answered_N.sum()),
        "headline": task.measures[0].describe(),
        "measures": [one.describe() for one in task.measures],
    }
    for name, one in measured.items():
        scores |= {name: one.value, f"{name}_interval": one.interval}
    losses_N, answers = task.losses_N(evidence, targets), task.answers(evidence, targets)
    return scores | {
        **_best_f1(evidence, targets, task),
        **measure_passage_calibration(evidence, targets, labels, task),
        **loss_intervals(losses_N, answers, num_resamples=num_resamples, seed=seed),
        "roc_auc": None,
        "roc_auc_interval": None,
        "per_label": [],
        **confusion_tables(None, [], np.zeros(0)),
    }


def _best_f1(evidence: Pointers, targets: PassageTruth, task: ReadsPassages) -> dict[str, float]:
    """Return the best F1 that any threshold of "no answer" gives, and how many nats "none" must be ahead there."""
    best = task.spans(evidence).best()
    always_N = task.score_texts(best.texts(targets.passages), targets)[:, 1]
    threshold, score = best_threshold(best.lead_N, always_N, (~targets.is_answered_N).astype(np.float64))
    return {"best_f1": score, "best_f1_threshold_nats": threshold}


def measure_passage_calibration(
    evidence: Pointers,
    targets: PassageTruth,
    labels: Sequence[str],  # noqa: ARG001 - one signature
    task: ReadsPassages,
) -> dict[str, Any]:
    """Return log loss, calibration errors and the bins of the reliability diagram, as JSON values.

    ``no_answer_calibration_error`` is that of the probability of "none" alone, as an answer of yes or no.
    """
    bins = metrics.calibration_bins(*task.answers(evidence, targets))
    none_N: Doubles = task.spans(evidence).none_N
    yes_N = none_N >= 0.5
    sure_N, right_N = np.where(yes_N, none_N, 1 - none_N), yes_N == ~targets.is_answered_N
    return {
        "log_loss": float(task.losses_N(evidence, targets).mean()),
        "expected_calibration_error": metrics.expected_calibration_error(bins),
        "no_answer_calibration_error": metrics.expected_calibration_error(metrics.calibration_bins(sure_N, right_N)),
        "calibration": calibration_rows(bins),
    }


def worst_passage_mistakes(
    evidence: Pointers,
    targets: PassageTruth,
    labels: Sequence[str],  # noqa: ARG001 - one signature
    task: ReadsPassages,
    *,
    frame: pl.DataFrame,
    num_mistakes: int,
) -> list[dict[str, Any]]:
    """Return the answers that share nothing with a right one, the most confident first."""
    texts, sure_N = task.texts(evidence, targets), task.confidence_N(evidence)
    wrong = np.flatnonzero(task.score_texts(texts, targets)[:, 1] == 0)
    order = wrong[np.argsort(-sure_N[wrong], kind="stable")][:num_mistakes].tolist()
    return [
        {
            "id": frame["id"][row],
            "question": frame["question"][row],
            "passage": targets.passages[row][:TEXT_CHARACTERS],
            "label": " / ".join(targets.answers[row]) or "no answer",
            "predicted": texts[row] or "no answer",
            "probability": float(sure_N[row]),
        }
        for row in order
    ]
