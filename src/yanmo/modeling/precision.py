"""Which arithmetic trains faster here: 32-bit floats, or bf16 in the products; it knows no data and no optimizer.

The probe only runs where the processor has bf16 products, and needs a clear gain, so its answer is the same in every
run on one machine. A resumed run takes the answer from its checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

import torch

from yanmo.modeling.settings import Precision

__all__ = ["autocast", "choose_precision"]

logger = logging.getLogger(__name__)

PROBE_SECONDS = 10.0
PROBE_STEPS = 3
LEAST_GAIN = 1.2


def choose_precision(train_step: Callable[[Precision], None], *, device: str) -> Precision:
    """Return the faster of fp32 and bf16 after at most ten seconds.

    Args:
        train_step: Runs one real step, forward and backward, in the given precision, and changes no weight.
        device: cpu or cuda.
    """
    if not has_bf16(device):
        logger.info("Precision fp32: this processor has no bf16 products.")
        return "fp32"
    deadline = time.perf_counter() + PROBE_SECONDS
    gain = _time_steps(train_step, "fp32", deadline) / _time_steps(train_step, "bf16", deadline)
    chosen: Precision = "bf16" if gain >= LEAST_GAIN else "fp32"
    logger.info("Precision %s: a step in bf16 is %.2f times as fast as in fp32.", chosen, gain)
    return chosen


def has_bf16(device: str) -> bool:
    """Return whether the processor multiplies bf16 in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpu = torch.cpu
    return any(bool(getattr(cpu, name, bool)()) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def autocast(device: str, precision: Precision) -> contextlib.AbstractContextManager[object]:
    """Return the context in which the forward pass runs."""
    if precision == "bf16":
        return torch.autocast(device, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def _time_steps(train_step: Callable[[Precision], None], precision: Precision, deadline: float) -> float:
    """Return the seconds of the fastest of a few steps after one that warms up."""
    train_step(precision)
    fastest = float("inf")
    for _ in range(PROBE_STEPS):
        start = time.perf_counter()
        train_step(precision)
        fastest = min(fastest, time.perf_counter() - start)
        if time.perf_counter() > deadline:
            break
    return fastest
