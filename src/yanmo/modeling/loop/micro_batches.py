"""A step's batch cut into parts that fit into memory, and the loss of one part; it knows no optimizer and no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import ModelError
from yanmo.modeling.arithmetic.precision import autocast
from yanmo.modeling.features.ragged import Examples, Score, TensorBatch, full_mask, is_full
from yanmo.modeling.objectives.objective import Objective
from yanmo.modeling.parallel import workers
from yanmo.modeling.settings import Precision

__all__ = [
    "Learning",
    "MatchedScore",
    "Part",
    "check_scores",
    "make_parts",
    "not_finite",
    "part_loss",
    "to_device",
]

MatchedScore = Callable[[nn.Module, TensorBatch], tuple[Tensor, Tensor]]
"""From the network and a batch to outputs and a loss that is added, a mean over examples."""
NUM_NAMED = 8
CALMER = "lower the learning_rate, raise the warmup_ratio, or set precision to fp32."


@dataclass(frozen=True)
class Part:
    """Some texts of a batch, ready for the network.

    Attributes:
        rows_B: Their rows; none where the loss counts for nothing.
        batch: The network's input, twice over where two passes are compared.
        targets: What the texts are held against, once.
    """

    rows_B: IntArray
    batch: TensorBatch
    targets: TensorBatch


@dataclass(frozen=True)
class Learning:
    """How a network's loss is computed.

    Attributes:
        score: From the network and a batch to outputs, a row a text; a head with several dropout masks gives all rows
            for each.
        objective: From outputs and targets to the loss.
        matched_score: In training, what stands in for ``score`` where the inside of the network is compared, too.
    """

    score: Score
    objective: Objective
    matched_score: MatchedScore | None = None


def make_parts(
    examples: Examples, rows_S: IntArray, *, num_passes: int, num_parts: int, device: str, is_even: bool = False
) -> list[Part]:
    """Return this worker's share of a batch, cut into at most so many parts of texts that follow each other.

    Args:
        examples: What to learn from.
        rows_S: The rows of the batch, those of all workers together.
        num_passes: How often each text goes through the network.
        num_parts: Most parts.
        device: Where they are computed.
        is_even: All workers get as many parts; where texts do not suffice, one whose loss counts for nothing.
    """
    rows = workers.share(rows_S)
    if is_even and not len(rows):
        return [_make_part(examples, rows_S[:1], num_passes, device, rows_B=rows)]
    # The smallest share of all workers, so that none is cut into fewer parts than another.
    most = len(rows_S) // workers.world_size() if is_even else len(rows)
    cut = np.array_split(rows, max(1, min(num_parts, most))) if len(rows) else []
    return [_make_part(examples, rows_B, num_passes, device, rows_B=rows_B) for rows_B in cut]


def _make_part(examples: Examples, read_B: IntArray, num_passes: int, device: str, *, rows_B: IntArray) -> Part:
    batch = examples.features.collate(np.tile(read_B, num_passes))
    targets = examples.targets.collate(read_B)
    if device == "cuda":
        # A copy to the GPU goes on beside the computation only from pinned memory.
        batch, targets = ({name: one.pin_memory() for name, one in tensors.items()} for tensors in (batch, targets))
    return Part(rows_B, batch, targets)


def part_loss(
    learning: Learning, module: nn.Module, part: Part, *, precision: Precision, device: str
) -> tuple[Tensor, Tensor | None]:
    """Return the loss of a part, a mean over its texts, and what its objective counts in it."""
    batch, added = to_device(part.batch, device), None
    with autocast(device, precision):
        if learning.matched_score is not None:
            outputs_MS, added = learning.matched_score(module, batch)
        else:
            outputs_MS = learning.score(module, batch)
    targets = {name: one.to(device, non_blocking=True) for name, one in part.targets.items()}
    # Outside of autocast: losses are computed in 32 bits.
    loss = learning.objective.loss(outputs_MS, targets)
    return (loss if added is None else loss + added), learning.objective.counts(outputs_MS)


def to_device(batch: TensorBatch, device: str) -> TensorBatch:
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


def check_scores(outputs_NS: FloatArray, examples: Examples, *, step: int) -> None:
    """Refuse to measure scores that are no finite numbers.

    Args:
        outputs_NS: Of held-out rows.
        examples: With the rows' ids.
        step: Steps done.

    Raises:
        ModelError: As said; it names the rows.
    """
    rows = np.flatnonzero(~np.isfinite(outputs_NS).all(axis=1))
    ends = examples.features.output_ends
    if ends is not None:
        rows = np.unique(np.searchsorted(ends, rows, side="right") - 1)
    if len(rows):
        raise ModelError(
            f"After step {step} the scores of {len(rows)} of {len(examples)} held-out rows are no finite numbers: "
            f"{_named(rows, examples)}.",
            hint=f"Look at these rows; {CALMER}",
        )


def _named(rows: IntArray, examples: Examples) -> str:
    names = [examples.ids[row] if examples.ids else str(row) for row in rows[:NUM_NAMED].tolist()]
    return ", ".join([*names, "…"] if len(rows) > NUM_NAMED else names)
