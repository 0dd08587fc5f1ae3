"""Where memory does not suffice: how that is seen, and smaller parts of the same step; it knows no network."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import torch

from yanmo.counted import counted
from yanmo.errors import ModelError
from yanmo.modeling.parallel import workers

__all__ = ["cut_smaller", "is_out_of_memory", "moving_weights"]

logger = logging.getLogger(__name__)

NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that there is not enough memory; on a processor it does so in words only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


@contextlib.contextmanager
def moving_weights() -> Iterator[None]:
    """Say what can be done where memory does not suffice inside the block; smaller parts would not help there.

    Raises:
        ModelError: As said.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            "There is not enough memory to move the weights: the optimizer keeps two numbers for each of them.",
            hint="Choose a smaller model, or let fewer weights learn: lora_rank, frozen_layers; with several workers "
            "sharding = full spreads them.",
        ) from error


def cut_smaller(num_parts: int, num_rows: int, error: Exception, *, is_fixed: bool) -> int:
    """Return twice the number of parts that a batch is cut into, and say so.

    Args:
        num_parts: That a batch is cut into.
        num_rows: Of the batch, those of all workers together.
        error: That memory did not suffice.
        is_fixed: Other workers would wait for parts of the old size.

    Raises:
        ModelError: A part has one text already, or parts are fixed.
    """
    # That of the largest part, so the division rounds up.
    size = -(-num_rows // (num_parts * workers.world_size()))
    if size <= 1:
        raise ModelError(
            "There is not enough memory for a step with one text at a time.",
            hint="Lower max_length, or choose a smaller model.",
        ) from error
    if is_fixed:
        raise ModelError(
            f"There is not enough memory for a step with {counted(size, 'text')} at a time.",
            hint=f"Give gradient_accumulation_steps = {2 * num_parts}: smaller parts, the same step.",
        ) from error
    logger.warning(
        "Out of memory with %d texts at a time: %d at a time from here on; a step is still of %d texts.",
        size,
        -(-size // 2),
        num_rows,
    )
    return 2 * num_parts
