"""What makes a training repeatable: the seed, the number of threads, the device; it knows no network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["default_device", "describe_gpu", "repeatable", "seed_step"]


@contextlib.contextmanager
def repeatable(seed: int, *, num_threads: int) -> Iterator[None]:
    """Seed torch and fix its number of threads; the old number and random state come back at the end.

    Args:
        seed: Of weights, dropout and data order.
        num_threads: Threads of torch; sums are cut in as many parts, so another number may change the last bits.
    """
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(num_threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)


def seed_step(seed: int, step: int, worker: int) -> np.random.SeedSequence:
    """Seed torch with a function of a training's seed, its step and the worker; return the same for other sources."""
    # Mixed and not added up: step 2 of seed 1 must not be step 1 of seed 2.
    sequence = np.random.SeedSequence([seed, step, worker])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0]))
    return sequence


def default_device() -> str:
    """Return cuda where there is such a device, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def describe_gpu() -> str | None:
    """Return the name and the memory of the graphics processor that training uses, None where there is none."""
    if default_device() == "cpu":
        return None
    facts = torch.cuda.get_device_properties(0)
    return f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, compute capability {facts.major}.{facts.minor}"
