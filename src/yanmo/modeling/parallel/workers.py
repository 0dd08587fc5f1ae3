"""Several processes that train one network, as torchrun starts them; alone, every function here does nothing.

Each worker computes its share of every batch. The gradients of a whole step meet in one message, so cutting a batch
into parts costs no more messages, and no worker steps before all agree that the loss is a number. It knows no loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from yanmo import machine
from yanmo.arrays import IntArray
from yanmo.errors import ModelError

__all__ = [
    "agree",
    "collect",
    "join",
    "lost",
    "rank",
    "share",
    "sum_gradients",
    "sum_tensor",
    "wait_for_all",
    "world_size",
]

T = TypeVar("T")
SliceT = TypeVar("SliceT", IntArray, list[IntArray])


def join() -> None:
    """Meet the other workers, if torchrun has started any: gloo between processors, nccl between GPUs."""
    if machine.num_workers() == 1 or distributed.is_initialized():
        return
    is_cuda = torch.cuda.is_available()
    if is_cuda:
        # Before the first message: nccl needs a GPU for each worker, and all would take the first one.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if is_cuda else "gloo")


def world_size() -> int:
    """Return how many workers there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return this worker's number; that of the one that writes is 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share(items: SliceT) -> SliceT:
    """Return this worker's part of something: every so many-th, so that all parts are alike."""
    return items[rank() :: world_size()]


def agree(value: T) -> T:
    """Return the value that the first worker has."""
    if world_size() == 1:
        return value
    values = [value]
    _meet(lambda: distributed.broadcast_object_list(values))
    return values[0]


def collect(value: T) -> list[T]:
    """Return the values of all workers, in their order."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    _meet(lambda: distributed.all_gather_object(values, value))
    return values


def wait_for_all() -> None:
    """Return when every worker has come here."""
    if world_size() > 1:
        _meet(distributed.barrier)


def sum_tensor(tensor: Tensor) -> Tensor:
    """Return the sum of all workers' tensors, in the tensor itself."""
    if world_size() > 1:
        _meet(lambda: distributed.all_reduce(tensor))
    return tensor


def sum_gradients(parameters: Iterable[nn.Parameter], *numbers: float) -> list[float]:
    """Put the sum of all workers' gradients into the parameters, and return the sums of some numbers, in one message.

    Raises:
        ModelError: Another worker has died.
    """
    if world_size() == 1:
        return list(numbers)
    learning = list(parameters)
    if hasattr(learning[0], "full_tensor"):  # sharded gradients were added up on their way back
        return [float(one) for one in sum_tensor(torch.tensor(numbers, device=learning[0].device)).tolist()]
    # A worker without rows has no gradients, but all messages must be equally long.
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in learning]
    extra = torch.tensor(numbers, dtype=gradients[0].dtype, device=gradients[0].device)
    summed = sum_tensor(torch.cat([*(one.flatten() for one in gradients), extra]))
    *parts, extra = torch.split(summed, [*(one.numel() for one in gradients), len(numbers)])
    for parameter, part in zip(learning, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    return [float(one) for one in extra.tolist()]


def _meet(message: Callable[[], object]) -> None:
    try:
        message()
    # That is how gloo and nccl say that a connection has broken.
    except RuntimeError as error:
        raise lost(error) from error


def lost(error: Exception) -> ModelError:
    """Return the error about a worker that has died, from what the messages between workers say."""
    return ModelError(
        f"Worker {rank()} of {world_size()} lost another worker: {str(error).partition(chr(10))[0]}",
        hint="Start the same command again: the training goes on from its last checkpoint.",
    )
