"""The objective of answers in passages: of every window the likelihood of the right starts and of the right ends.

A window without the answer has "none" as its truth. Of several right answers all count: what is made likely is that one
of them is chosen. It knows no network, no text and no optimizer.

Source: Devlin et al. 2019, "BERT", section 4.3 (starts and ends, "none" at the first token), arXiv:1810.04805; Clark,
Gardner 2018, "Simple and Effective Multi-Paragraph Reading Comprehension", section 3.2 (sums over right answers),
arXiv:1710.10723.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yanmo.answers.passage_spans import passage_pointers
from yanmo.answers.passage_truth import PassageTruth
from yanmo.answers.pointers import Pointers
from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.settings import Teaching

__all__ = ["PassageWindows", "PointersObjective", "right_places", "taught_places"]

LOWEST = -1e9


@dataclass(frozen=True)
class PassageWindows:
    """The targets of W windows of N passages.

    Attributes:
        right_U2: 1 at the units with which a right answer begins, and at those with which one ends; of a window where
            none does at its first place, "none". Float32, W rows.
        places: Where the units, and "none", stand in the raw passages, int64, shape (U, 2), of N rows.
        truth: Of the N questions.
        soft_U2: A teacher's probabilities, which sum to 1 in each window; None without a teacher.
        is_labeled_W: Which windows have a truth of their own besides a teacher's.
    """

    right_U2: Ragged
    places: Ragged
    truth: PassageTruth
    soft_U2: FloatArray | None = None
    is_labeled_W: np.ndarray[tuple[int], np.dtype[np.bool_]] | None = None

    def __len__(self) -> int:
        """Return W."""
        return len(self.right_U2)

    def evidence(self, scores_U2: FloatArray) -> Pointers:
        """Return what scores of the units say about N questions."""
        return passage_pointers(scores_U2, self.places).activate()

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``right`` and, of a teacher, ``soft``, shape (U, 2), and ``lengths``, the units of each window."""
        taken = self.right_U2.take(rows_B)
        batch = {"right": torch.from_numpy(taken.values), "lengths": torch.from_numpy(taken.lengths_N)}
        if self.soft_U2 is not None:
            batch["soft"] = torch.from_numpy(Ragged(self.soft_U2, self.right_U2.offsets).take(rows_B).values)
        if self.is_labeled_W is not None:
            batch["is_labeled"] = torch.from_numpy(self.is_labeled_W[rows_B])
        return batch


@dataclass(frozen=True)
class PointersObjective:
    """The objective of networks whose outputs are the scores of every unit as a start and as an end.

    Attributes:
        measured: From evidence and the truth of held-out questions to scores.
        teaching: How much a teacher's answers count; None without one.
    """

    measured: Callable[[Pointers, Any], dict[str, float]]
    teaching: Teaching | None = None
    num_passes: int = 1

    def loss(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        """Return the mean over windows of the loss of starts and ends."""
        lengths_B, num_units = targets["lengths"], len(targets["right"])
        num_copies = len(outputs_MS) // num_units
        right_M2 = targets["right"].repeat(num_copies, 1)
        row_M = torch.repeat_interleave(
            torch.arange(len(lengths_B) * num_copies, device=outputs_MS.device), lengths_B.repeat(num_copies)
        )
        logs_M2 = _log_softmax(outputs_MS.float(), row_M, len(lengths_B) * num_copies)
        # Of the right places the probabilities are added up; the others are as good as impossible.
        chosen_M2 = torch.where(right_M2 > 0, logs_M2, torch.full_like(logs_M2, LOWEST))
        hard_B = -_log_sums(chosen_M2, row_M, len(lengths_B) * num_copies).sum(dim=1) / 2
        if self.teaching is None or "soft" not in targets:
            return hard_B.mean()
        softened_M2 = _log_softmax(outputs_MS.float() / self.teaching.temperature, row_M, len(lengths_B) * num_copies)
        crossed_M2 = -targets["soft"].repeat(num_copies, 1) * softened_M2
        soft_B = torch.zeros_like(hard_B).index_add(0, row_M, crossed_M2.sum(dim=1)) / 2 * self.teaching.temperature**2
        alpha_B = torch.where(targets["is_labeled"].repeat(num_copies), self.teaching.alpha, 1.0).to(soft_B)
        return (alpha_B * soft_B + (1 - alpha_B) * hard_B).mean()

    def counts(self, outputs_MS: Tensor) -> Tensor | None:  # noqa: ARG002 - one signature
        """Return nothing: answers are measured on held-out rows only."""
        return None

    def describe(self, counts: list[float], seconds: float) -> dict[str, float]:  # noqa: ARG002
        """Return nothing besides the loss."""
        return {}

    def measure(self, outputs_NS: FloatArray, targets: PassageWindows) -> dict[str, float]:
        """Return the scores of held-out questions."""
        return self.measured(targets.evidence(outputs_NS), targets.truth)


def _log_sums(logs_M2: Tensor, row_M: Tensor, num_rows: int) -> Tensor:
    """Return the logarithm of the sum of each row's powers, shape (B, 2)."""
    most_B2 = torch.full((num_rows, 2), LOWEST, device=logs_M2.device).scatter_reduce(
        0, row_M[:, None].expand(-1, 2), logs_M2.detach(), "amax"
    )
    powers_M2 = torch.exp(logs_M2 - most_B2[row_M])
    return torch.log(torch.zeros_like(most_B2).index_add(0, row_M, powers_M2)) + most_B2


def _log_softmax(scores_M2: Tensor, row_M: Tensor, num_rows: int) -> Tensor:
    return scores_M2 - _log_sums(scores_M2, row_M, num_rows)[row_M]


def right_places(places: Ragged, firsts: Ragged, truth: PassageTruth) -> Ragged:
    """Return which units right answers begin and end with, as ``PassageWindows`` has them.

    Args:
        places: Where units and "none" stand in the raw passages, of N rows.
        firsts: The same units, of W windows.
        truth: Of the N questions. An answer that begins or ends within a unit goes to the whole unit.
    """
    right_U2 = np.zeros((len(places.values), 2), dtype=np.float32)
    offsets = places.offsets.tolist()
    for row in range(len(truth)):
        spans = truth.spans.row(row)
        here = places.values[offsets[row] : offsets[row + 1]]
        for start, end in spans.tolist():
            right_U2[offsets[row] : offsets[row + 1], 0] += (here[:, 0] <= start) & (start < here[:, 1])
            right_U2[offsets[row] : offsets[row + 1], 1] += (here[:, 0] < end) & (end <= here[:, 1])
    right_U2 = np.minimum(right_U2, 1.0)
    # The first place of a window is "none", which holds where no right unit is in it.
    sums_W2 = np.stack([Ragged(right_U2[:, side], firsts.offsets).sums_N() for side in (0, 1)], axis=1)
    right_U2[firsts.offsets[:-1]] = (sums_W2 == 0).astype(np.float32)
    return Ragged(right_U2, firsts.offsets)


def taught_places(places: Ragged, firsts: Ragged, soft: Pointers) -> FloatArray:
    """Return a teacher's probabilities of every unit in its window, float32, shape (U, 2).

    What it gives to units of other windows, and to characters where no unit begins or ends, goes to "none".

    Args:
        places: Where units and "none" stand in the raw passages, of N rows.
        firsts: The same units, of W windows.
        soft: Probabilities of the N passages' characters.
    """
    row_U = np.repeat(np.arange(len(places)), places.lengths_N)
    found_U2 = np.empty((len(row_U), 2), dtype=np.float32)
    for side, cell_U in ((0, places.values[:, 0]), (1, places.values[:, 1] - 1)):
        found_U2[:, side] = soft.values_K[soft.cells[2 * row_U + side] + cell_U]
    nones = firsts.offsets[:-1]
    found_U2[nones] = 0.0
    sums_W2 = np.stack([Ragged(found_U2[:, side], firsts.offsets).sums_N() for side in (0, 1)], axis=1)
    found_U2[nones] = np.maximum(1.0 - sums_W2, 0.0)
    return found_U2
