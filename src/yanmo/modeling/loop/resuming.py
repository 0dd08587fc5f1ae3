"""A training's way into a checkpoint and back; it knows neither the files nor the steps."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from yanmo.errors import StoppedError
from yanmo.modeling.loop import checkpoints
from yanmo.modeling.loop.training_position import Position
from yanmo.modeling.optimizing.averages import Average
from yanmo.modeling.parallel import sharding, workers
from yanmo.modeling.settings import LoopSettings

__all__ = ["Resumable", "Stoppable", "resume", "save_training", "stop_or_save"]

logger = logging.getLogger(__name__)


class Resumable(Protocol):
    """What a checkpoint is of; the attributes mean what they mean in the loop."""

    module: nn.Module
    settings: LoopSettings
    work_dir: Path | None
    run_key: str
    position: Position
    best_weights: dict[str, Tensor]
    first_weights: dict[str, Tensor]
    average: Average
    optimizer: torch.optim.Optimizer
    is_sharded: bool


class Stoppable(Protocol):
    """What is asked after every step whether it writes a checkpoint or ends."""

    settings: LoopSettings
    position: Position
    is_stopping: bool
    is_due: bool

    def save(self) -> None:
        """Write a checkpoint."""
        ...


def save_training(training: Resumable) -> None:
    """Write a checkpoint, if there is a folder for it; the first worker writes, and all give what only they have."""
    if training.work_dir is None:
        return
    num_parts = workers.collect(training.position.num_parts)  # memory may have failed one of them only
    # Sharded tensors come together from all workers, so all of them go on.
    if workers.rank() and not training.is_sharded:
        return
    tensors = checkpoints.unshared_state(training.module, "module.")
    tensors |= {f"best.{name}": tensor for name, tensor in training.best_weights.items()}
    tensors |= {f"first.{name}": tensor for name, tensor in training.first_weights.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in training.average.weights.items()}
    tensors |= checkpoints.optimizer_tensors(training.optimizer, "optimizer.")
    tensors = {name: sharding.whole(tensor).cpu() for name, tensor in tensors.items()}
    if not workers.rank():
        state = {"run_key": training.run_key, "position": asdict(training.position), "num_parts": num_parts}
        checkpoints.write(training.work_dir, tensors, state, step=training.position.step)


def resume(training: Resumable) -> bool:
    """Take up the work folder's checkpoint if it belongs to this run; return whether it did.

    Checkpoints of other work are removed, and those that do not verify.
    """
    found = checkpoints.read(training.work_dir) if training.work_dir else None
    workers.wait_for_all()  # none removes what another still reads
    if training.work_dir is None or found is None:
        return False
    tensors, state = found
    is_ours = state["run_key"] == training.run_key
    if not workers.rank():
        checkpoints.drop_after(training.work_dir, state["position"]["step"] if is_ours else -1)
    if not is_ours:
        logger.warning("The data, the settings or the code have changed since the checkpoint: training starts anew.")
        return False
    training.position = Position(**{**state["position"], "num_parts": state["num_parts"][workers.rank()]})
    weights = training.module.state_dict()
    training.module.load_state_dict(sharding.spread(checkpoints.select(tensors, "module."), weights))
    training.best_weights = sharding.spread(checkpoints.select(tensors, "best."), weights)
    training.first_weights = sharding.spread(checkpoints.select(tensors, "first."), weights)
    on_device = {name: one.to(training.settings.device) for name, one in tensors.items()}
    training.average.weights = sharding.spread(checkpoints.select(on_device, "average."), training.average.learning)
    checkpoints.restore_optimizer(training.optimizer, checkpoints.select(tensors, "optimizer."))
    logger.info("Resuming at step %d.", training.position.step)
    return True


def stop_or_save(training: Stoppable) -> None:
    """Write a checkpoint every 30 seconds, with ``eval_steps`` at each of these evaluations, and before a stop.

    Raises:
        StoppedError: SIGTERM came.
    """
    every = training.settings.eval_steps
    if training.is_stopping or training.is_due or (every and training.position.step % every == 0):
        training.save()
    if training.is_stopping:
        raise StoppedError(
            f"Stopped by SIGTERM after step {training.position.step}; a checkpoint was written.",
            hint="The same command goes on from there.",
        )
