"""The optimizer Muon: matrices within layers move in orthogonal steps, all else as AdamW moves it; it knows no data."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["ORTHOGONAL", "Muon", "orthogonal"]

ORTHOGONAL = "orthogonal"
"""The key of a group of parameters that says whether its steps are orthogonal."""
MOMENTUM = 0.95
NUM_ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that takes singular values between 0 and 1 near 1 in few iterations, without converging to it."""
ADAM_SIZE = 0.2
"""Root mean square of the steps that AdamW takes, which those of Muon are given, too, so that one rate suits both."""


class Muon(torch.optim.AdamW):
    """AdamW whose groups with the key ``orthogonal`` move by the orthogonal matrix that is nearest to their momentum.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et al. 2025, "Muon is
        Scalable for LLM Training", section 2.2 (size of the steps, weight decay), arXiv:2502.16982.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move all parameters by one step."""
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group[ORTHOGONAL]]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group[ORTHOGONAL]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._move(parameter, parameter.grad, group["lr"], group["weight_decay"])
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, learning_rate: float, weight_decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        # As Nesterov has it: where the momentum will be after this gradient once more.
        step = orthogonal(gradient.lerp(state["momentum"], MOMENTUM))
        parameter.mul_(1 - learning_rate * weight_decay)
        parameter.add_(step, alpha=-learning_rate * ADAM_SIZE * math.sqrt(max(parameter.shape)))


def orthogonal(matrix_DE: Tensor) -> Tensor:
    """Return about the nearest matrix with orthonormal rows, or columns where there are fewer; same shape."""
    first, second, third = COEFFICIENTS
    # Products of the shorter side are cheaper.
    is_tall = matrix_DE.shape[0] > matrix_DE.shape[1]
    found = matrix_DE.T if is_tall else matrix_DE
    found = found / (found.norm() + 1e-7)
    for _ in range(NUM_ITERATIONS):
        square = found @ found.T
        found = first * found + (second * square + third * square @ square) @ found
    result: Tensor = found.T if is_tall else found
    return result
