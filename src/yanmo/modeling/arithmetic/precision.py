"""Which arithmetic trains faster here: 32-bit floats, or bf16 in the products; it knows no data and no optimizer.

The probe only runs where the processor has bf16 products. So that its answer is the same in every run on one machine,
busy or not, it takes turns between the two, counts the processor's time of one thread, and needs a clear gain. A run
keeps the answer in its first checkpoint, and the Bundle in its manifest.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Literal

import torch

from yanmo.errors import ModelError
from yanmo.modeling.settings import Precision

__all__ = ["LEAST_GAIN", "autocast", "choose_precision", "has_bf16", "product_rate"]

logger = logging.getLogger(__name__)

PROBE_SECONDS = 10.0
PROBE_TURNS = 16
LEAST_GAIN = 1.2
# 2,048 tokens through the first feed-forward product of a base BERT.
PRODUCT_SIZES = (2048, 768, 3072)
FEW_ROWS = 64
NO_PRODUCT = "primitive descriptor"
"""Part of what oneDNN says where it has no way to compute something."""


def choose_precision(
    wanted: Literal["auto"] | Precision, train_step: Callable[[Precision], object], *, device: str
) -> Precision:
    """Return what is wanted, or the faster of fp32 and bf16 after at most ten seconds.

    Args:
        wanted: auto measures.
        train_step: Runs one real step, forward and backward, in the given precision, and changes no weight.
        device: cpu or cuda.
    """
    if wanted != "auto":
        return wanted
    if not has_bf16(device):
        logger.info("Precision fp32: this processor has no bf16 products.")
        return "fp32"
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        gain = _time_turns(train_step, device)
    finally:
        torch.set_num_threads(num_threads)
    chosen: Precision = "bf16" if gain >= LEAST_GAIN else "fp32"
    logger.info("Precision %s: a step in bf16 is %.2f times as fast as in fp32.", chosen, gain)
    return chosen


def has_bf16(device: str) -> bool:
    """Return whether the processor multiplies bf16 in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Private names that another version of torch may lack: bool, called with nothing, says no then.
    cpu = torch.cpu
    return any(bool(getattr(cpu, name, bool)()) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def product_rate(precision: Precision, device: str, *, num_threads: int, seconds: float) -> float:
    """Return the operations a second of the fastest of several plain products in torch.

    Args:
        precision: Of both sides.
        device: cpu or cuda.
        num_threads: Threads that share the product on a CPU.
        seconds: How long products are tried, after a warm-up.
    """
    all_rows, inner, columns = PRODUCT_SIZES
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (
        torch.ones(all_rows, inner, dtype=kind, device=device),
        torch.ones(inner, columns, dtype=kind, device=device),
    )

    def timed(rows: int) -> float:
        start = time.perf_counter()
        left[:rows] @ right
        # The call only queues the product; without waiting, the queueing would be timed.
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    threads_before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        timed(FEW_ROWS)
        # A processor without bf16 products takes a quarter of a minute for all rows.
        rows = min(all_rows, max(FEW_ROWS, int(FEW_ROWS * seconds / timed(FEW_ROWS))))
        timed(rows)
        end = time.perf_counter() + seconds
        times = [timed(rows)]
        while time.perf_counter() < end:
            times.append(timed(rows))
    finally:
        torch.set_num_threads(threads_before)
    # A product and a sum for each number of one side and column of the other.
    return 2.0 * rows * inner * columns / min(times)


@contextlib.contextmanager
def autocast(device: str, precision: Precision) -> Iterator[None]:
    """Run the forward pass in a precision.

    Raises:
        ModelError: The processor has no such products, and nobody wrote slower ones, as for an LSTM in bf16.
    """
    if precision != "bf16":
        yield
        return
    try:
        with torch.autocast(device, dtype=torch.bfloat16):
            yield
    except RuntimeError as error:
        if NO_PRODUCT not in str(error):
            raise
        hint = "Set precision = fp32, or auto, which takes bf16 only where it is faster."
        raise ModelError("This processor cannot compute the network in bf16.", hint=hint) from error


def _time_turns(train_step: Callable[[Precision], object], device: str) -> float:
    """Return how many times as fast the fastest bf16 step is as the fastest fp32 step, after one that warms up."""
    order: tuple[Precision, ...] = ("fp32", "bf16")
    fastest = dict.fromkeys(order, float("inf"))
    deadline = time.perf_counter() + PROBE_SECONDS
    # A GPU's work is none of the processor's time.
    clock = time.perf_counter if device == "cuda" else time.process_time
    for turn in range(1 + PROBE_TURNS):
        for precision in order:
            start = clock()
            train_step(precision)
            if device == "cuda":
                torch.cuda.synchronize()
            if turn:
                fastest[precision] = min(fastest[precision], clock() - start)
        if turn and time.perf_counter() > deadline:
            break
    return fastest["fp32"] / fastest["bf16"]
