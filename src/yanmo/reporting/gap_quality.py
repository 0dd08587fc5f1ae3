"""How well a model guesses hidden tokens, as the JSON values of a Report; it knows no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from yanmo.answers.gaps import Gaps
from yanmo.arrays import IntArray
from yanmo.protocols import Task
from yanmo.reporting.score_tables import scores_of_texts

__all__ = ["hardest_to_guess", "measure_gap_quality"]

TEXT_CHARACTERS = 2000


def measure_gap_quality(
    evidence: Gaps,
    targets: IntArray,
    labels: Sequence[str],  # noqa: ARG001 - one signature with labels
    task: Task[Gaps],
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return every measure with its interval as JSON values; what is resampled are whole texts.

    Args:
        evidence: Of N >= 1 rows.
        targets: The first character of each text that counts.
        labels: None.
        task: Says what is counted and measured.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    statistics_NS = task.statistics(evidence, targets)
    return {
        "num_rows": len(targets),
        "num_tokens": int(statistics_NS[:, 1].sum()),
        **scores_of_texts(statistics_NS, task.measures, num_resamples=num_resamples, seed=seed),
    }


def hardest_to_guess(
    evidence: Gaps,
    targets: IntArray,
    labels: Sequence[str],  # noqa: ARG001
    task: Task[Gaps],
    *,
    frame: pl.DataFrame,
    num_mistakes: int,
) -> list[dict[str, Any]]:
    """Return the texts that take most nats a hidden token, the worst first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        nats_N = np.nan_to_num(task.measures[0].of_sums(task.statistics(evidence, targets)), posinf=0.0)
    rows = np.argsort(-nats_N, kind="stable")[:num_mistakes].tolist()
    ids, texts = frame["id"].to_list(), frame[task.inputs[0]].to_list()
    return [{"id": ids[row], "text": texts[row][:TEXT_CHARACTERS], "nats": float(nats_N[row])} for row in rows]
