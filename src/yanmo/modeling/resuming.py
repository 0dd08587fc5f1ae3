"""A training's way into a checkpoint and back; it knows neither the files nor the steps."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from yanmo.modeling import checkpoints, sharding, workers
from yanmo.modeling.position import Position

if TYPE_CHECKING:
    from yanmo.modeling.loop import Trainer

__all__ = ["resume", "save"]

logger = logging.getLogger(__name__)


def save(trainer: Trainer) -> None:
    """Write a checkpoint, if there is a folder for it; the first worker writes, and all give what only they have."""
    if trainer.work_dir is None:
        return
    num_parts = workers.collect(trainer.position.num_parts)  # memory may have failed one of them only
    if workers.rank() and not trainer.is_sharded:
        return
    tensors = checkpoints.unshared_state(trainer.module, "module.")
    tensors |= {f"best.{name}": tensor for name, tensor in trainer.best_weights.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in trainer.average.weights.items()}
    tensors |= checkpoints.optimizer_tensors(trainer.optimizer, "optimizer.")
    tensors = {name: sharding.whole(tensor).cpu() for name, tensor in tensors.items()}
    if not workers.rank():
        state = {"run_key": trainer.run_key, "position": asdict(trainer.position), "num_parts": num_parts}
        checkpoints.write(trainer.work_dir, tensors, state, step=trainer.position.step)


def resume(trainer: Trainer) -> bool:
    """Take up the work folder's checkpoint if it belongs to this run; return whether it did.

    Checkpoints of other work are removed, and those that do not verify.
    """
    found = checkpoints.read(trainer.work_dir) if trainer.work_dir else None
    workers.wait_for_all()  # none removes what another still reads
    if trainer.work_dir is None or found is None:
        return False
    tensors, state = found
    is_ours = state["run_key"] == trainer.run_key
    if not workers.rank():
        checkpoints.drop_after(trainer.work_dir, state["position"]["step"] if is_ours else -1)
    if not is_ours:
        logger.warning("The data, the settings or the code have changed since the checkpoint: training starts anew.")
        return False
    trainer.position = Position(**{**state["position"], "num_parts": state["num_parts"][workers.rank()]})
    weights = trainer.module.state_dict()
    trainer.module.load_state_dict(sharding.spread(checkpoints.select(tensors, "module."), weights))
    trainer.best_weights = sharding.spread(checkpoints.select(tensors, "best."), weights)
    on_device = {name: one.to(trainer.settings.device) for name, one in tensors.items()}
    trainer.average.weights = sharding.spread(checkpoints.select(on_device, "average."), trainer.average.learning)
    checkpoints.restore_optimizer(trainer.optimizer, checkpoints.select(tensors, "optimizer."))
    logger.info("Resuming at step %d.", trainer.position.step)
    return True
