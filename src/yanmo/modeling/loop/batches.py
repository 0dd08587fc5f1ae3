"""The batches of a training, epoch by epoch, and their parts made ahead of the step; it knows no network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from yanmo.arrays import IntArray
from yanmo.modeling.arithmetic.memory import is_out_of_memory
from yanmo.modeling.features.ragged import Examples, epoch_batches
from yanmo.modeling.settings import LoopSettings

__all__ = ["batches_of", "count_steps", "made_ahead"]

T = TypeVar("T")


def batches_of(examples: Examples, settings: LoopSettings, epoch: int) -> list[IntArray]:
    """Return the rows of every batch of an epoch, those of all workers together."""
    return epoch_batches(
        examples.features,
        batch_size=settings.batch_size,
        batch_tokens=settings.batch_tokens,
        seed=settings.seed,
        epoch=epoch,
    )


def count_steps(examples: Examples, settings: LoopSettings) -> int:
    """Return the steps of the whole training; with a budget of tokens each epoch has a number of its own."""
    if settings.batch_tokens is None:
        return settings.num_epochs * len(batches_of(examples, settings, 0))
    return sum(len(batches_of(examples, settings, epoch)) for epoch in range(settings.num_epochs))


def made_ahead(make: Callable[[IntArray], T], batches: Sequence[IntArray]) -> Iterator[tuple[IntArray, T | None]]:
    """Yield batches with what is made of them, by a thread, while the step before is computed.

    Where memory does not suffice for it beside that step, it is None.
    """

    def made_if_it_fits(rows_S: IntArray) -> T | None:
        try:
            return make(rows_S)
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                return None
            raise

    # One batch ahead and no more: each that waits takes memory from the step.
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(made_if_it_fits, rows_S) for rows_S in batches[:1])
        for place, rows_S in enumerate(batches):
            made = waiting.popleft().result()
            waiting.extend(pool.submit(made_if_it_fits, ahead_S) for ahead_S in batches[place + 1 : place + 2])
            yield rows_S, made
