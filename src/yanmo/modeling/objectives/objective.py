"""What the training loop asks of an objective; it knows no network and no step.

Outputs are whatever a network's score gives: logits for labels, sums of losses for masked tokens. The loop hands them
to the objective and never looks into them.

Legend: S numbers of a row's output; M rows of outputs, several for each of B rows where it was computed several times.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from yanmo.arrays import FloatArray
from yanmo.modeling.features.ragged import TensorBatch

__all__ = ["Objective"]


class Objective(Protocol):
    """What is made small, and what is measured on held-out rows."""

    @property
    def num_passes(self) -> int:
        """How often each row of a part goes through the network: twice where two passes are compared."""
        ...

    def loss(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        """Return the loss, a scalar: a mean over rows.

        Args:
            outputs_MS: Of a network, all rows once, then all of them again, and so on.
            targets: Of the B rows, once.
        """
        ...

    def counts(self, outputs_MS: Tensor) -> Tensor | None:
        """Return what is counted in a part of a step, a vector that is summed over parts and workers; None: nothing."""
        ...

    def describe(self, counts: list[float], seconds: float) -> dict[str, float]:
        """Return what the record of some steps holds besides their loss.

        Args:
            counts: Sums over these steps; empty where nothing is counted.
            seconds: That they took.
        """
        ...

    def measure(self, outputs_NS: FloatArray, targets: Any) -> dict[str, float]:
        """Return the scores of held-out rows, ``loss`` among them.

        Args:
            outputs_NS: Of a network, all rows.
            targets: What the rows are held against.
        """
        ...
