"""The optimizer of a kind, its groups for weight decay and depth, the learning rate of each step; it knows no data."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import nn

from yanmo.modeling.networks.layer_depths import matrices_in_layers, parameter_depths
from yanmo.modeling.optimizing.muon import ORTHOGONAL, Muon
from yanmo.modeling.optimizing.scaled_adamw import ScaledAdamW
from yanmo.modeling.settings import OptimizerName, Schedule

__all__ = ["learning_rate_factor", "level_steps", "make_optimizer", "set_learning_rate"]

OPTIMIZERS: dict[OptimizerName, type[torch.optim.AdamW]] = {
    "adamw": torch.optim.AdamW,
    "muon": Muon,
    "scaled-adamw": ScaledAdamW,
}
BETAS = (0.9, 0.999)
EPSILON = 1e-8
WSD_FALL = 0.2
"""Share of all steps over which the schedule ``wsd`` falls."""


def make_optimizer(
    module: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    kind: OptimizerName = "adamw",
) -> torch.optim.Optimizer:
    """Return a fused AdamW over the trainable parameters of a network, or another optimizer.

    Args:
        module: The network.
        learning_rate: Peak of the schedule.
        weight_decay: Applied to matrices; biases and the scales of normalization layers, which are vectors, have none.
        layer_decay: A layer's rate is this share of the rate of the layer above; the head has the full rate, the
            embeddings the lowest. In (0, 1].
        kind: ``muon`` moves the matrices within layers in orthogonal steps, and all else as AdamW; ``scaled-adamw``
            moves each weight in proportion to its size.

    Source: Loshchilov, Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, arXiv:1711.05101;
    Howard, Ruder 2018, "Universal Language Model Fine-tuning", section 3.2 (rates by layer), arXiv:1801.06146.
    """
    # Asked only where it counts: networks without layers have no depths.
    depths = parameter_depths(module) if layer_decay < 1 else {}
    inner = matrices_in_layers(module) if kind == "muon" else frozenset()
    members: dict[tuple[float, float, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if parameter.ndim >= 2 else 0.0
            members[decay, layer_decay ** depths.get(name, 0), name in inner].append(parameter)
    groups = [
        {"params": parameters, "weight_decay": decay, "scale": scale, ORTHOGONAL: is_inner}
        for (decay, scale, is_inner), parameters in members.items()
    ]
    return OPTIMIZERS[kind](groups, lr=learning_rate, betas=BETAS, eps=EPSILON, fused=True)


def learning_rate_factor(step: int, *, num_steps: int, warmup_ratio: float, schedule: Schedule = "linear") -> float:
    """Return the share of the peak learning rate at a step: a linear rise, then what the schedule says.

    Args:
        step: From 0; the first step already moves.
        num_steps: Of the whole training.
        warmup_ratio: Share of the steps over which the rate rises, in [0, 1].
        schedule: linear or cosine, to zero; constant; or wsd, constant and then linear over the last fifth of
            the steps.

    Source: Loshchilov, Hutter 2017, "SGDR", equation 5 (cosine), arXiv:1608.03983; Hu et al. 2024, "MiniCPM", section
    4.2 (warm-up, stable, decay), arXiv:2404.06395.
    Differs: one cosine without restarts; the fall of wsd is linear.
    """
    warmup_steps = round(num_steps * warmup_ratio)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    remaining = max(0.0, (num_steps - step) / max(1, num_steps - warmup_steps))
    match schedule:
        case "linear":
            return remaining
        case "cosine":
            return (1 - math.cos(math.pi * remaining)) / 2
        case "constant":
            return 1.0
        case "wsd":
            return min(1.0, max(0, num_steps - step) / max(1, num_steps - level_steps(num_steps, schedule=schedule)))


def level_steps(num_steps: int, *, schedule: Schedule) -> int:
    """Return for how many steps a schedule keeps its rate up before it falls at its end; 0 of those that do not."""
    return num_steps - round(num_steps * WSD_FALL) if schedule == "wsd" else 0


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group, scaled by the group's depth."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["scale"]
