"""Where a training is, between two steps; it knows neither weights nor data."""

from __future__ import annotations

from collections.abc import Sequence
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
        seconds: That they took, without evaluations.
        counted: Sums of what their losses counted.
        best: Scores of the best evaluation.
        best_learned: Scores of the best evaluation after the first step; a head may begin with better ones.
        num_worse: Evaluations since that one.
        best_step: Its step.
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
    seconds: float = 0.0
    counted: list[float] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    best_learned: dict[str, float] = field(default_factory=dict)
    num_worse: int = 0
    best_step: int = -1
    evaluated_step: int = -1
    is_done: bool = False
    precision: Precision = "fp32"
    is_compiled: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    def add_loss(self, loss: float, seconds: float) -> None:
        """Add a step's loss and time to what runs until the next record."""
        self.loss_sum += loss
        self.loss_steps += 1
        self.seconds += seconds

    def add_counts(self, counted: Sequence[float]) -> None:
        """Add what a step's losses have counted."""
        before = self.counted or [0.0] * len(counted)
        self.counted = [old + new for old, new in zip(before, counted, strict=True)]

    def take_running(self) -> tuple[float, list[float], float]:
        """Return the mean loss, the counts and the seconds since the last record, and begin again."""
        mean, counted, seconds = self.loss_sum / self.loss_steps, self.counted, self.seconds
        self.loss_sum, self.loss_steps, self.counted, self.seconds = 0.0, 0, [], 0.0
        return mean, counted, seconds
