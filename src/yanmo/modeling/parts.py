"""A step's batch cut into parts that fit into memory, and the loss of one part; it knows no optimizer and no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import ModelError
from yanmo.modeling import workers
from yanmo.modeling.features import Batch, Examples, full_mask, is_full
from yanmo.modeling.precision import autocast
from yanmo.modeling.settings import Precision

__all__ = [
    "MatchedScore",
    "Objective",
    "Part",
    "Score",
    "check_scores",
    "make_parts",
    "not_finite",
    "part_loss",
    "to_device",
]

Score = Callable[[nn.Module, Batch], Tensor]
MatchedScore = Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]
"""From the network and a batch to logits_BC and a loss that is added, a mean over examples."""
NUM_NAMED = 8
CALMER = "lower the learning_rate, raise the warmup_ratio, or set precision to fp32."


@dataclass(frozen=True)
class Part:
    """Some texts of a batch, ready for the network.

    Attributes:
        rows_B: Their rows; none where the loss counts for nothing.
        batch: The network's input, twice over where two passes are compared.
        targets_BC: float32, shape (B, C), once.
    """

    rows_B: IntArray
    batch: Batch
    targets_BC: Tensor


@dataclass(frozen=True)
class Objective:
    """What is made small.

    Attributes:
        score: From the network and a batch to logits_BC; a head with several dropout masks gives B rows for each.
        loss: From logits_BC and targets_BC to a scalar, a mean over examples.
        divergence: From the logits of two passes to a scalar.
        r_drop: Weight of the divergence; 0 makes one pass only.
        matched_score: In training, what stands in for ``score`` where the inside of the network is compared, too.
    """

    score: Score
    loss: Callable[[Tensor, Tensor], Tensor]
    divergence: Callable[[Tensor, Tensor], Tensor]
    r_drop: float = 0.0
    matched_score: MatchedScore | None = None


def make_parts(
    examples: Examples, rows_S: IntArray, objective: Objective, *, num_parts: int, device: str, is_even: bool = False
) -> list[Part]:
    """Return this worker's share of a batch, cut into at most so many parts of texts that follow each other.

    Args:
        examples: What to learn from.
        rows_S: The rows of the batch, those of all workers together.
        objective: What is made small.
        num_parts: Most parts.
        device: Where they are computed.
        is_even: All workers get as many parts; where texts do not suffice, one whose loss counts for nothing.
    """
    rows = workers.share(rows_S)
    if is_even and not len(rows):
        return [_make_part(examples, rows_S[:1], objective, device, rows_B=rows)]
    most = len(rows_S) // workers.num_workers() if is_even else len(rows)
    cut = np.array_split(rows, max(1, min(num_parts, most))) if len(rows) else []
    return [_make_part(examples, rows_B, objective, device, rows_B=rows_B) for rows_B in cut]


def _make_part(examples: Examples, read_B: IntArray, objective: Objective, device: str, *, rows_B: IntArray) -> Part:
    batch = examples.features.collate(np.concatenate([read_B, read_B]) if objective.r_drop else read_B)
    targets_BC = torch.from_numpy(examples.targets_NC[read_B])
    if device == "cuda":
        batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
        targets_BC = targets_BC.pin_memory()
    return Part(rows_B, batch, targets_BC)


def part_loss(objective: Objective, module: nn.Module, part: Part, *, precision: Precision, device: str) -> Tensor:
    """Return the loss of a part, a mean over its texts.

    Source: Wu et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", equation 4, arXiv:2106.14448; Inoue 2019,
    "Multi-Sample Dropout for Accelerated Training and Better Generalization", section 3, arXiv:1905.09788.
    Differs: R-Drop's loss is halved, a mean of the two passes, so that the weight of the divergence does not change the
    learning rate.
    """
    batch, added = to_device(part.batch, device), None
    with autocast(device, precision):
        if objective.matched_score is not None:
            logits_MC, added = objective.matched_score(module, batch)
        else:
            logits_MC = objective.score(module, batch)
    targets_BC = part.targets_BC.to(device, non_blocking=True)
    loss = objective.loss(logits_MC, targets_BC.repeat(len(logits_MC) // len(targets_BC), 1))
    if added is not None:
        loss = loss + added
    if not objective.r_drop:
        return loss
    first_KBC, second_KBC = logits_MC.view(-1, 2, len(targets_BC), logits_MC.shape[1]).unbind(1)
    return loss + objective.r_drop / 2 * objective.divergence(first_KBC.flatten(0, 1), second_KBC.flatten(0, 1))


def to_device(batch: Batch, device: str) -> Batch:
    """Return a batch where the network is; of a batch without padding the mask is made there."""
    full = {name for name in ("attention_mask",) if device != "cpu" and name in batch and is_full(batch[name])}
    return {
        name: full_mask(tensor, device) if name in full else tensor.to(device, non_blocking=True)
        for name, tensor in batch.items()
    }


def not_finite(total: float, losses: Sequence[tuple[Part, Tensor]], examples: Examples, *, step: int) -> ModelError:
    """Return the error about a loss, or a gradient, that is no finite number; it names the rows that made it.

    Args:
        total: The loss of the whole batch.
        losses: This worker's parts with their losses.
        examples: With the rows' ids.
        step: From 1.
    """
    bad = [part.rows_B for part, loss in losses if not math.isfinite(loss.item())]
    if not bad and not math.isfinite(total):
        return ModelError(
            f"The loss became {total} at step {step}, in rows of another worker. The step was not taken.",
            hint="That worker's error names them.",
        )
    rows = np.concatenate(bad or [part.rows_B for part, _ in losses])
    what = f"The loss became {total}" if not math.isfinite(total) else f"The loss {total:.4g} has no finite gradient"
    return ModelError(
        f"{what} at step {step}, in a batch of {len(rows)} rows: {_named(rows, examples)}. The step was not taken.",
        hint=f"Look at these rows; {CALMER}",
    )


def check_scores(logits_NC: FloatArray, examples: Examples, *, step: int) -> None:
    """Refuse to measure scores that are no finite numbers.

    Args:
        logits_NC: Of held-out rows.
        examples: With the rows' ids.
        step: Steps done.

    Raises:
        ModelError: As said; it names the rows.
    """
    rows = np.flatnonzero(~np.isfinite(logits_NC).all(axis=1))
    if len(rows):
        raise ModelError(
            f"After step {step} the scores of {len(rows)} of {len(logits_NC)} held-out rows are no finite numbers: "
            f"{_named(rows, examples)}.",
            hint=f"Look at these rows; {CALMER}",
        )


def _named(rows: IntArray, examples: Examples) -> str:
    names = [examples.ids[row] if examples.ids else str(row) for row in rows[:NUM_NAMED].tolist()]
    return ", ".join([*names, "…"] if len(rows) > NUM_NAMED else names)
