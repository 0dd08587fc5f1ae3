"""Where a training is, between two steps; it knows neither weights nor data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from yanmo.modeling.settings import Precision

__all__ = ["Position"]


@dataclass
class Position:
    """Where a training is; all of it is plain JSON and goes into the checkpoint.

    Attributes:
        epoch: From 0.
        group: Steps done of this epoch.
        step: Steps done in all.
        num_parts: Parts that a batch is cut into.
        loss_sum: Of the steps since the last record.
        loss_steps: Their number.
        best: Scores of the best evaluation.
        num_worse: Evaluations since then.
        evaluated_step: Step of the last evaluation.
        is_done: Early stopping ended the training.
        precision: What the probe chose.
        is_compiled: What the other probe chose.
        history: The records of ``metrics.jsonl``.
    """

    epoch: int = 0
    group: int = 0
    step: int = 0
    num_parts: int = 1
    loss_sum: float = 0.0
    loss_steps: int = 0
    best: dict[str, float] = field(default_factory=dict)
    num_worse: int = 0
    evaluated_step: int = -1
    is_done: bool = False
    precision: Precision = "fp32"
    is_compiled: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
