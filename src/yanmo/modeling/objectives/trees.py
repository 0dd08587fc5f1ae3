"""The objective of trees: the loss of a biaffine head over what a network says about words; it knows no network.

Rows are windows of texts; each word is in one of them. A head that is in another window is not learned from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yanmo.answers.arcs import Arcs
from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.light.biaffine_head import BiaffineHead
from yanmo.parsing.biaffine import BiaffineWeights

__all__ = ["TreesObjective", "UnitTrees"]


@dataclass(frozen=True)
class UnitTrees:
    """The targets of W rows of words.

    Attributes:
        heads: The number of each word's head in its window, 0 for the root, -1 where it is in another one; W rows.
        relations_U: The relations.
        places: Where the words begin and end in the raw texts, int64, shape (U, 2), of N texts.
        truth: What holds of every word, of N texts, as the task has it.
        head: What scores arcs, a part of the network that learns them.
    """

    heads: Ragged
    relations_U: IntArray
    places: Ragged
    truth: Ragged
    head: BiaffineHead

    def __len__(self) -> int:
        """Return W."""
        return len(self.heads)

    @property
    def units_a_row(self) -> float:
        """How many words a row has in the mean."""
        return max(len(self.heads.values), 1) / max(len(self.heads), 1)

    def evidence(self, states_US: FloatArray, weights: BiaffineWeights) -> Arcs:
        """Return what a network says about the words of N texts."""
        return weights.evidence(states_US, self.places).activate()

    def take(self, rows: IntArray) -> UnitTrees:
        """Return some of the rows, each as a text of its own."""
        heads, relations = self.heads.take(rows), Ragged(self.relations_U, self.heads.offsets).take(rows)
        places = Ragged(self.places.values, self.heads.offsets).take(rows)
        truth = Ragged(self.truth.values, self.heads.offsets).take(rows)
        return UnitTrees(heads, relations.values, places, truth, self.head)

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``heads`` and ``relations``, shape (U,), and ``lengths``, the words of each row."""
        heads = self.heads.take(rows_B)
        relations = Ragged(self.relations_U, self.heads.offsets).take(rows_B)
        named = {"heads": heads.values, "relations": relations.values, "lengths": heads.lengths_N}
        return {name: torch.from_numpy(np.ascontiguousarray(one)) for name, one in named.items()}


@dataclass(frozen=True)
class TreesObjective:
    """The objective of networks whose outputs are what a biaffine head reads.

    Attributes:
        head: The head, a part of the network.
        measured: From evidence and the trees of held-out texts to scores.
        units_a_row: Words of a row of the training rows in the mean.
    """

    head: BiaffineHead
    measured: Callable[[Arcs, Any], dict[str, float]]
    units_a_row: float
    num_passes: int = 1

    def loss(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        """Return the loss of a batch, a mean over rows in which every word of all rows counts alike.

        As of tags, it does not depend on how rows are cut into batches.
        """
        num_rows = len(targets["lengths"])
        if not len(outputs_MS):
            return outputs_MS.float().sum() * 0
        total = self.head.loss(outputs_MS, targets["heads"], targets["relations"], targets["lengths"])
        return total / (num_rows * self.units_a_row)

    def counts(self, outputs_MS: Tensor) -> Tensor | None:  # noqa: ARG002 - one signature
        """Return nothing: trees are measured on held-out rows only."""
        return None

    def describe(self, counts: list[float], seconds: float) -> dict[str, float]:  # noqa: ARG002 - one signature
        """Return nothing besides the loss."""
        return {}

    def measure(self, outputs_NS: FloatArray, targets: UnitTrees) -> dict[str, float]:
        """Return the scores of held-out texts."""
        return self.measured(targets.evidence(outputs_NS, self.head.weights()), targets.truth)
