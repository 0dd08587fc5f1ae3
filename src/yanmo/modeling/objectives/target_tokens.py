"""The objective of models that write a text from another: the loss of every token of the target, summed over rows.

A network's output of a row is the sum of its losses in nats, the number of its tokens that count, and 1 where the
whole target is what would be written greedily: S = 3. It knows no corpus and no loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.modeling.features.ragged import Targets
from yanmo.modeling.objectives.token_losses import LOSS, TOKENS, TokenLosses

__all__ = ["TargetTokens"]

RIGHT = 2
"""A column of a network's outputs, behind those of every objective of tokens."""


@dataclass(frozen=True)
class TargetTokens(TokenLosses):
    """The objective of networks that write.

    Attributes:
        headline: What the share of targets that are written as they are is called.
    """

    headline: str
    num_passes: int = 1

    def measure(self, outputs_NS: FloatArray, targets: Targets) -> dict[str, float]:  # noqa: ARG002
        """Return the share of targets that are written greedily as they are, and the mean loss of a token in nats.

        Of several references the first one alone counts here; ``evaluate`` counts all.
        """
        sums = outputs_NS.sum(axis=0, dtype=np.float64)
        right = float(sums[RIGHT] / max(len(outputs_NS), 1))
        return {self.headline: right, "loss": float(sums[LOSS] / max(sums[TOKENS], 1))}
