"""The state of a training in one file, written atomically and read without pickle; it knows no loop.

The file is a safetensors file: weights, best weights, the optimizer's state and the random generators' states as
tensors, everything else as JSON in the header. It is written beside its place, synced, and renamed over the old one,
so at every moment the last checkpoint is whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

__all__ = ["CHECKPOINT", "optimizer_tensors", "read", "restore_optimizer", "select", "write"]

CHECKPOINT = "checkpoint.safetensors"


def write(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Replace the folder's checkpoint.

    Args:
        folder: The work folder.
        tensors: All tensors by name; none may share memory with another.
        state: Plain JSON values.
    """
    target = folder / CHECKPOINT
    partial = folder / f".{CHECKPOINT}.partial"
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial, metadata={"state": json.dumps(state)})
    _sync(partial)
    partial.replace(target)
    _sync(folder)


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and the state of the folder's checkpoint, or None where there is none."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["state"])
        return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118 - it is no mapping


def select(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return an optimizer's state, one tensor for each value of each parameter."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer the state that :func:`optimizer_tensors` returned, the prefix removed."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def unshared_state(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Return copies of a network's weights, so that tied weights become separate tensors."""
    return {f"{prefix}{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
