"""AdamW whose steps are in proportion to the size of what they move; it knows no data.

T5's weights are of very different sizes, for it divides no product of queries and keys by their width: with one rate
for all, those of queries jump about while embeddings hardly move, and what is read is never looked at.
"""

from __future__ import annotations

import math
from typing import Any

import torch

__all__ = ["ScaledAdamW"]

LEAST_SIZE = 1e-3
"""Weights that begin with 0 must be able to leave it."""


class ScaledAdamW(torch.optim.AdamW):
    """AdamW whose rate for each parameter is multiplied by the root mean square of the parameter.

    Source: Shazeer, Stern 2018, "Adafactor", section 8, arXiv:1804.04235; Nawrot 2023, "nanoT5", section 3.2,
        arXiv:2309.02373 (with AdamW).
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move all parameters by one step."""
        groups = self.param_groups
        self.param_groups = [
            {**group, "params": [one], "lr": group["lr"] * _size(one)} for group in groups for one in group["params"]
        ]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        return loss


def _size(parameter: torch.Tensor) -> float:
    return max(float(parameter.norm()) / math.sqrt(max(parameter.numel(), 1)), LEAST_SIZE)
