"""The objective of models that write a text from another: the loss of every token of the target, summed over rows.

A network's output of a row is the sum of its losses in nats, the number of its tokens that count, and 1 where the
whole target is what would be written greedily: S = 3. It knows no corpus and no loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from yanmo.arrays import FloatArray
from yanmo.modeling.features.ragged import Targets, TensorBatch

__all__ = ["LOSS", "TOKENS", "TargetTokens"]

LOSS, TOKENS, RIGHT = 0, 1, 2
"""Columns of a network's outputs."""


@dataclass(frozen=True)
class TargetTokens:
    """The objective of networks that write.

    Attributes:
        headline: What the share of targets that are written as they are is called.
    """

    headline: str
    num_passes: int = 1

    def loss(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        """Return the mean loss of a token, in nats, as a mean over rows.

        A batch may be cut into parts of any size: the rows of all of them are divided by the same number.
        """
        return (outputs_MS[:, LOSS] / targets["questions"][:, 0]).mean()

    def counts(self, outputs_MS: Tensor) -> Tensor:
        """Return the tokens that count."""
        return outputs_MS.detach()[:, [TOKENS]].sum(dim=0)

    def describe(self, counts: list[float], seconds: float) -> dict[str, float]:
        """Return the tokens a second that were written in some steps."""
        return {"tokens_per_second": round(sum(counts) / seconds, 1)}

    def measure(self, outputs_NS: FloatArray, targets: Targets) -> dict[str, float]:  # noqa: ARG002
        """Return the share of targets that are written greedily as they are, and the mean loss of a token in nats.

        Of several references the first one alone counts here; ``evaluate`` counts all.
        """
        sums = outputs_NS.sum(axis=0, dtype=np.float64)
        right = float(sums[RIGHT] / max(len(outputs_NS), 1))
        return {self.headline: right, "loss": float(sums[LOSS] / max(sums[TOKENS], 1))}
