"""A mean of the weights over the steps of a training, which is measured and published instead of the last weights.

It knows no optimizer and no data. Its state goes into the checkpoint, so that a resumed training averages alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from yanmo.modeling.settings import LoopSettings

__all__ = ["Average", "average_rate"]

EMA_RISE = 10


class Average:
    """The running mean of a network's trainable weights.

    Args:
        module: The network.
    """

    def __init__(self, module: nn.Module) -> None:
        self.learning = {name: one for name, one in module.named_parameters() if one.requires_grad}
        self.weights: dict[str, Tensor] = {}

    def update(self, rate: float) -> None:
        """Move the mean towards the weights by a share of the way; the first time it becomes the weights."""
        now = [one.detach() for one in self.learning.values()]
        if not self.weights:
            self.weights = {name: one.clone() for name, one in zip(self.learning, now, strict=True)}
        elif rate:
            torch._foreach_lerp_([self.weights[name] for name in self.learning], now, rate)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Put the mean in the weights' place inside the block; without a mean the weights stay."""
        if not self.weights:
            yield
            return
        kept = {name: one.detach().clone() for name, one in self.learning.items()}
        self._put(self.weights)
        try:
            yield
        finally:
            self._put(kept)

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in weights.items():
                self.learning[name].copy_(tensor)


def average_rate(settings: LoopSettings, step: int, num_steps: int) -> float | None:
    """Return how far the mean moves towards the weights after a step, None where there is no mean yet.

    Args:
        settings: With ``ema_decay`` or ``swa_start``, not with both.
        step: Steps done, from 1.
        num_steps: Of the whole training.

    Source: Polyak, Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging", doi:10.1137/0330046;
    Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", algorithm 1,
    arXiv:1803.05407.
    Differs: the moving average forgets faster in its first steps, min(decay, (1 + step) / (10 + step)), so that the
    first weights are not kept; the mean is over every step, not one in each cycle, and the schedule stays what it is.
    """
    if settings.ema_decay:
        return 1.0 - min(settings.ema_decay, (1 + step) / (EMA_RISE + step))
    num_averaged = step - int(settings.swa_start * num_steps)
    # The n-th moves the mean by 1 / n, which gives every step the same weight.
    return 1.0 / num_averaged if settings.swa_start < 1 and num_averaged > 0 else None
