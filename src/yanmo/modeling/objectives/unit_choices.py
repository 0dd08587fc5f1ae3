"""The objective of choices about units: the losses of :mod:`choices`, over all units of a batch that have a tag.

It knows no tag's meaning, no network and no optimizer. Rows are windows of texts; each unit is in one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.objectives.choices import ChoicesObjective

__all__ = ["UnitChoicesObjective", "UnitTags"]


@dataclass(frozen=True)
class UnitTags:
    """The targets of W rows of units.

    Attributes:
        tags: The place of each unit's tag in the list of C, int64, -1 where it has none; W rows.
        num_classes: C.
        places: Where the units begin and end in the raw texts, int64, shape (U, 2), of N texts.
    """

    tags: Ragged
    num_classes: int
    places: Ragged

    def __len__(self) -> int:
        """Return W."""
        return len(self.tags)

    @property
    def units_a_row(self) -> float:
        """How many units of a row have a tag, in the mean."""
        return max(float((self.tags.values >= 0).sum()), 1.0) / max(len(self.tags), 1)

    def values_UC(self) -> FloatArray:
        """Return 1 at the tag of every unit, zeros where it has none."""
        return _one_hot(self.tags.values, self.num_classes)

    @property
    def truth(self) -> Ragged:
        """The tags of N texts."""
        return Ragged(self.tags.values, self.places.offsets)

    def evidence(self, logits_UC: FloatArray, link: Link) -> Choices:
        """Return what scores of the units say about N texts."""
        return Choices(logits_UC, link, self.places.offsets, self.places.values).activate()

    def take(self, rows: IntArray) -> UnitTags:
        """Return some of the rows, each as a text of its own."""
        places = Ragged(self.places.values, self.tags.offsets).take(rows)
        return UnitTags(self.tags.take(rows), self.num_classes, places)

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``labels``, shape (U, C), and ``lengths``, the units of each row."""
        taken = self.tags.take(rows_B)
        return {
            "labels": torch.from_numpy(_one_hot(taken.values, self.num_classes)),
            "lengths": torch.from_numpy(taken.lengths_N),
        }


@dataclass(frozen=True)
class UnitChoicesObjective:
    """The objective of networks whose outputs are logits of every unit's tags.

    Attributes:
        choices: The losses, of units that have a tag.
        measured: From evidence and the tags of held-out texts to scores.
        units_a_row: Tagged units of a row of the training rows, in the mean.
    """

    choices: ChoicesObjective
    measured: Callable[[Choices, Any], dict[str, float]]
    units_a_row: float

    @property
    def num_passes(self) -> int:
        """Two where the passes are compared."""
        return self.choices.num_passes

    def loss(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        """Return the loss of a batch, a mean over rows, in which every unit of all rows counts alike.

        It is the sum over units, by the number of rows and by the units that a row has in the mean over the training
        rows: so it does not depend on how rows are cut into batches, as a mean over a batch's units would.
        """
        is_tagged_U = targets["labels"].sum(dim=1) > 0
        num_units, num_rows = len(is_tagged_U), len(targets["lengths"])
        if not bool(is_tagged_U.any()):
            return outputs_MS.float().sum() * 0  # a loss that the network can be told of
        # Of several passes or masks all units come once, then all of them again.
        kept_M = is_tagged_U.repeat(len(outputs_MS) // num_units)
        tagged = {"labels": targets["labels"][is_tagged_U]}
        weight = float(is_tagged_U.sum()) / (num_rows * self.units_a_row)
        return weight * self.choices.loss(outputs_MS[kept_M], tagged)

    def counts(self, outputs_MS: Tensor) -> Tensor | None:
        """Return nothing: tags are measured on held-out rows only."""
        return self.choices.counts(outputs_MS)

    def describe(self, counts: list[float], seconds: float) -> dict[str, float]:
        """Return nothing besides the loss."""
        return self.choices.describe(counts, seconds)

    def measure(self, outputs_NS: FloatArray, targets: UnitTags) -> dict[str, float]:
        """Return the scores of held-out texts."""
        return self.measured(targets.evidence(outputs_NS, self.choices.link), targets.truth)


def _one_hot(tags_U: IntArray, num_classes: int) -> FloatArray:
    values_UC = np.zeros((len(tags_U), num_classes), dtype=np.float32)
    tagged = np.flatnonzero(tags_U >= 0)
    values_UC[tagged, tags_U[tagged]] = 1
    return values_UC
