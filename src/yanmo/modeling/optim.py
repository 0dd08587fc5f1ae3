"""The optimizer: AdamW with groups for weight decay, and the learning rate of each step; it knows no data."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["learning_rate_factor", "make_optimizer", "set_learning_rate"]

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def make_optimizer(module: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return a fused AdamW over the trainable parameters of a network.

    Args:
        module: The network.
        learning_rate: Peak of the schedule.
        weight_decay: Applied to matrices; biases and the scales of normalization layers, which are vectors, have none.

    Source: Loshchilov, Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, arXiv:1711.05101.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trainable if one.ndim >= 2], "weight_decay": weight_decay},
        {"params": [one for one in trainable if one.ndim < 2], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    return torch.optim.AdamW(filled, lr=learning_rate, betas=BETAS, eps=EPSILON, fused=True)


def learning_rate_factor(step: int, *, num_steps: int, warmup_ratio: float) -> float:
    """Return the share of the peak learning rate at a step: linear rise, then linear fall to zero.

    Args:
        step: From 0; the first step already moves.
        num_steps: Of the whole training.
        warmup_ratio: Share of the steps over which the rate rises, in [0, 1].
    """
    warmup_steps = round(num_steps * warmup_ratio)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return max(0.0, (num_steps - step) / max(1, num_steps - warmup_steps))


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
