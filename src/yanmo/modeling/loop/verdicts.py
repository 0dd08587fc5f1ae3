"""What evaluations on held-out rows say: which one is the best, and whether the training ended too early."""

from __future__ import annotations

import logging

from yanmo.modeling.loop.training_position import Position
from yanmo.modeling.settings import LoopSettings

__all__ = ["is_better", "quality", "warn_of_rising"]

logger = logging.getLogger(__name__)


def quality(scores: dict[str, float], settings: LoopSettings) -> tuple[float, float]:
    """Return what is larger for better scores: the metric, and where that is the same, the loss decides."""
    score = 0.0 if settings.metric == "loss" else scores[settings.metric]
    return -score if settings.lowest else score, -scores["loss"]


def is_better(scores: dict[str, float], before: dict[str, float], settings: LoopSettings) -> bool:
    """Return whether scores are better than others, which may be none."""
    return not before or quality(scores, settings) > quality(before, settings)


def warn_of_rising(position: Position, settings: LoopSettings) -> None:
    """Say so where the last evaluation of a training was its best one, and not the best that there can be."""
    metric = settings.metric
    is_perfect = metric != "loss" and position.best[metric] == (0 if settings.lowest else 1)
    if position.step and position.best_step == position.step and not is_perfect:
        logger.warning(
            "The last evaluation was the best (valid %s %.4f): more num_epochs may do better, such as num_epochs = %d.",
            metric,
            position.best[metric],
            2 * settings.num_epochs,
        )
