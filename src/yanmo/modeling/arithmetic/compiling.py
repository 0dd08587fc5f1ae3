"""Whether torch.compile pays within a run: compiled steps beside plain ones, with the time that compiling takes.

It knows no data and no optimizer. What is compiled is the way from a batch to its scores, once for batches of every
shape. A run keeps the answer in its checkpoints, since compiled products may differ in the last bits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from yanmo.machine import has_compiler
from yanmo.modeling.features.ragged import Score, TensorBatch
from yanmo.modeling.settings import Compile

__all__ = ["LEAST_RUN_SECONDS", "choose_compile", "compiled"]

logger = logging.getLogger(__name__)

LEAST_RUN_SECONDS = 1800.0
"""Compiling takes a minute or several, so shorter runs do not try."""
PROBE_TURNS = 3


def compiled(score: Score) -> Score:
    """Return a way to scores that is compiled when it is first gone."""

    def run(module: nn.Module, batch: TensorBatch) -> Tensor:
        return score(module, batch)

    # A batch is as wide as its longest text: without dynamic shapes each width would be compiled by itself.
    found: Score = torch.compile(run, dynamic=True)
    return found


def choose_compile(wanted: Compile, train_steps: Callable[[bool], int], *, num_steps: int) -> bool:
    """Return whether a run's steps are compiled.

    Args:
        wanted: auto measures where the run takes half an hour or more; it is compiled if that saves more time in its
            steps than compiling takes.
        train_steps: Runs some real steps over batches of several shapes, compiled or not, changes no weight, and
            returns their number.
        num_steps: Of the run.
    """
    if wanted != "auto":
        return wanted == "always"
    if not has_compiler():
        logger.info("Not compiled: there is no C++ compiler.")
        return False
    plain = _seconds_a_step(train_steps, is_compiled=False)
    if plain * num_steps < LEAST_RUN_SECONDS:
        logger.info("Not compiled: the run takes %.0f s, too little to pay for compiling.", plain * num_steps)
        return False
    return _pays(train_steps, plain, num_steps)


def _pays(train_steps: Callable[[bool], int], plain: float, num_steps: int) -> bool:
    start = time.perf_counter()
    try:
        train_steps(True)
    # What the compiler raises about a network that it cannot compile is derived from it.
    except RuntimeError as error:
        logger.warning("Not compiled: %s", str(error).partition("\n")[0])
        return False
    compiling = time.perf_counter() - start
    saved = (plain - _seconds_a_step(train_steps, is_compiled=True)) * num_steps
    pays = saved > compiling
    logger.info(
        "%s: compiling takes %.0f s, and the steps then %.0f s less.",
        "Compiled" if pays else "Not compiled",
        compiling,
        saved,
    )
    return pays


def _seconds_a_step(train_steps: Callable[[bool], int], *, is_compiled: bool) -> float:
    """Return the time of a step in the fastest of some turns, after one that warms up."""
    train_steps(is_compiled)
    times = []
    for _ in range(PROBE_TURNS):
        start = time.perf_counter()
        num_steps = train_steps(is_compiled)
        times.append((time.perf_counter() - start) / num_steps)
    # Whatever else the machine does makes a turn slower, never faster.
    return min(times)
