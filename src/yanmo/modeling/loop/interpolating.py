"""Weights between those that a training began with and those it found; it is asked once, at the end.

A checkpoint's own features with a regression answer other texts well, fine-tuned ones those that are like the training
texts. What lies on the line between both answers better than either, and is as cheap as one network.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from yanmo.modeling.features.ragged import Examples
from yanmo.modeling.loop import checkpoints
from yanmo.modeling.loop.training_position import Position
from yanmo.modeling.loop.verdicts import is_better
from yanmo.modeling.optimizing.averages import Average
from yanmo.modeling.settings import LoopSettings

__all__ = ["Interpolable", "interpolate"]

SHARES = (0.35, 0.5, 0.65, 0.8)
"""Of the way from the first weights to the last. With more of them, chance on valid would choose."""


class Interpolable(Protocol):
    """A training that has ended; the attributes mean what they mean in the loop."""

    module: nn.Module
    settings: LoopSettings
    position: Position
    first_weights: dict[str, Tensor]
    best_weights: dict[str, Tensor]
    average: Average

    def evaluate(self, examples: Examples) -> dict[str, float]:
        """Return the scores of the weights."""
        ...

    def record(self, values: dict[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        ...


def interpolate(training: Interpolable, valid: Examples) -> None:
    """Make the best mixture of the first weights and the last the best weights, if it is better than these.

    Where no step made anything better than the first weights, the last ones are those after the last step. Without
    first weights, and without a step, it does nothing.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3, arXiv:2109.01903.
    Differs: the first classifier is a regression on frozen features, as there are no names of classes to begin from;
    the share is chosen on held-out rows.
    """
    position, first = training.position, training.first_weights
    if not first or not position.step:
        return
    with training.average.applied():
        last = training.best_weights if position.best_step else checkpoints.unshared_state(training.module, "")
    training.average.weights = {}  # it would stand in for the mixture
    for share in SHARES:
        mixed = {
            # Weights of before a kill were read into main memory, later ones are on the device.
            name: torch.lerp(tensor, last[name].to(tensor.device), share) if tensor.is_floating_point() else last[name]
            for name, tensor in first.items()
        }
        training.module.load_state_dict(mixed)
        scores = training.evaluate(valid)
        training.record({"interpolation": share, **{f"valid_{name}": value for name, value in scores.items()}})
        if is_better(scores, position.best, training.settings):
            position.best, training.best_weights = scores, mixed
