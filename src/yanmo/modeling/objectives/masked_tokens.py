"""The objective of reading: losses of hidden and of replaced tokens, summed over rows; it knows no corpus and no loop.

A network's output of a row is, for each of K parts of the objective, the sum of the losses, the number of right answers
and the number of questions, then the number of tokens: S = 3 K + 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from yanmo.arrays import FloatArray, IntArray
from yanmo.modeling.features.masking import COLUMNS
from yanmo.modeling.features.ragged import Targets, TensorBatch

__all__ = ["MaskedTokens", "QuestionCounts", "measure_outputs"]

NAMES = ("masked", "replaced")
RIGHT, GUESSES, TOKENS = 1, 2, -1


@dataclass(frozen=True)
class QuestionCounts:
    """How many questions a row of a batch has in the mean, by which its losses are divided.

    Attributes:
        values_K: Of each part of the objective, float32; the same for all rows of the batch.
        num_rows: N.
    """

    values_K: FloatArray
    num_rows: int

    def __len__(self) -> int:
        """Return N."""
        return self.num_rows

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``questions``, shape (B, K)."""
        return {"questions": torch.from_numpy(np.tile(self.values_K, (len(rows_B), 1)))}


@dataclass(frozen=True)
class MaskedTokens:
    """The objective of networks that guess hidden tokens, or tell which ones were replaced.

    Attributes:
        weights: Of each of its K parts.
    """

    weights: tuple[float, ...]
    num_passes: int = 1

    def loss(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        """Return the weighted sum of the parts' mean losses, in nats, as a mean over rows.

        A batch may be cut into parts of any size: the rows of all of them are divided by the same numbers.
        """
        # The losses are the first of every three columns; the last column of all, the tokens, is none of them.
        means_K = (outputs_MS[:, :-1:COLUMNS] / targets["questions"]).mean(dim=0)
        return torch.stack([weight * mean for weight, mean in zip(self.weights, means_K.unbind(), strict=True)]).sum()

    def counts(self, outputs_MS: Tensor) -> Tensor:
        """Return right guesses, guesses and tokens."""
        return outputs_MS.detach()[:, [RIGHT, GUESSES, TOKENS]].sum(dim=0)

    def describe(self, counts: list[float], seconds: float) -> dict[str, float]:
        """Return the masked accuracy and the tokens a second of some steps."""
        right, guesses, tokens = counts or (0.0, 0.0, 0.0)
        return {"train_masked_accuracy": right / max(guesses, 1), "tokens_per_second": round(tokens / seconds, 1)}

    def measure(self, outputs_NS: FloatArray, targets: Targets) -> dict[str, float]:  # noqa: ARG002
        """Return each part's accuracy and mean loss, and the loss of all."""
        measured = measure_outputs(outputs_NS)
        losses = [value for name, value in measured.items() if name.endswith("loss")]
        total = sum(weight * value for weight, value in zip(self.weights, losses, strict=True))
        return {**measured, "loss": float(total)}


def measure_outputs(outputs_NS: FloatArray) -> dict[str, float]:
    """Return each part's accuracy and mean loss in nats, such as ``masked_accuracy`` and ``masked_loss``."""
    sums = outputs_NS.sum(axis=0, dtype=np.float64)
    measured: dict[str, float] = {}
    for name, start in zip(NAMES, range(0, len(sums) - 1, COLUMNS), strict=False):
        loss, right, count = sums[start : start + COLUMNS]
        measured |= {f"{name}_accuracy": float(right / max(count, 1)), f"{name}_loss": float(loss / max(count, 1))}
    return measured
