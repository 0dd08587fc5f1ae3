"""What objectives have in common whose networks give the loss of every token, summed over rows; it knows no corpus.

A network's output of a row begins with the sum of its losses in nats and the number of its tokens that count.
"""

from __future__ import annotations

from torch import Tensor

from yanmo.modeling.features.ragged import TensorBatch

__all__ = ["LOSS", "TOKENS", "TokenLosses"]

LOSS, TOKENS = 0, 1
"""Columns of a network's outputs."""


class TokenLosses:
    """How such losses are learned from and told."""

    def loss(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        """Return the mean loss of a token, in nats, as a mean over rows.

        A batch may be cut into parts of any size: the rows of all of them are divided by the same number.
        """
        return (outputs_MS[:, LOSS] / targets["questions"][:, 0]).mean()

    def counts(self, outputs_MS: Tensor) -> Tensor:
        """Return the tokens that count."""
        return outputs_MS.detach()[:, [TOKENS]].sum(dim=0)

    def describe(self, counts: list[float], seconds: float) -> dict[str, float]:
        """Return the tokens a second of some steps."""
        return {"tokens_per_second": round(sum(counts) / seconds, 1)}
