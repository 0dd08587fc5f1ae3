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
        soft_UC: A teacher's probabilities of every unit's tags, softened, float32; None without a teacher.
    """

    tags: Ragged
    num_classes: int
    places: Ragged
    soft_UC: FloatArray | None = None

    def __len__(self) -> int:
        """Return W."""
        return len(self.tags)

    @property
    def units_a_row(self) -> float:
        """How many units of a row are learned from, in the mean: those with a tag, or with a teacher's answer."""
        num_units = len(self.tags.values) if self.soft_UC is not None else int((self.tags.values >= 0).sum())
        return max(num_units, 1) / max(len(self.tags), 1)

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
        soft_UC = None if self.soft_UC is None else Ragged(self.soft_UC, self.tags.offsets).take(rows).values
        return UnitTags(self.tags.take(rows), self.num_classes, places, soft_UC)

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``labels`` and, of a teacher, ``soft``, shape (U, C), and ``lengths``, the units of each row."""
        taken = self.tags.take(rows_B)
        batch = {
            "labels": torch.from_numpy(_one_hot(taken.values, self.num_classes)),
            "lengths": torch.from_numpy(taken.lengths_N),
        }
        if self.soft_UC is not None:
            batch["soft"] = torch.from_numpy(Ragged(self.soft_UC, self.tags.offsets).take(rows_B).values)
        return batch


@dataclass(frozen=True)
class UnitChoicesObjective:
    """The objective of networks whose outputs are logits of every unit's tags.

    Attributes:
        choices: The losses, of units that have a tag.
        measured: From evidence and the tags of held-out texts to scores.
        units_a_row: Units of a row of the training rows that are learned from, in the mean.
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
        # A teacher has answered every unit.
        is_told_U = torch.ones_like(is_tagged_U) if "soft" in targets else is_tagged_U
        num_units, num_rows = len(is_tagged_U), len(targets["lengths"])
        if not bool(is_told_U.any()):
            return outputs_MS.float().sum() * 0  # a loss that the network can be told of
        # Of several passes or masks all units come once, then all of them again.
        kept_M = is_told_U.repeat(len(outputs_MS) // num_units)
        told = {name: targets[name][is_told_U] for name in ("labels", "soft") if name in targets}
        weight = float(is_told_U.sum()) / (num_rows * self.units_a_row)
        return weight * self.choices.loss(outputs_MS[kept_M], told | {"is_labeled": is_tagged_U[is_told_U]})

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
