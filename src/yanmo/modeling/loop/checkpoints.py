"""The state of a training in files, written atomically, checked on reading, and read without pickle; it knows no loop.

A checkpoint is a safetensors file: weights, best weights, their mean and the optimizer's state as tensors, everything
else as JSON in the header, and a SHA-256 of all of it. It is written beside its place, synced and renamed; then the
folder is synced and only then an older one removed. So at every moment, on a full or failing disk too, the last
checkpoints are whole, and where the newest does not verify, the one before is taken.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn, uint8

from yanmo.artifacts import durable
from yanmo.errors import ModelError
from yanmo.modeling.parallel import sharding

__all__ = ["drop_after", "optimizer_tensors", "read", "restore_optimizer", "select", "unshared_state", "write"]

logger = logging.getLogger(__name__)

NUM_KEPT = 2
PREFIX = "checkpoint-"
SUFFIX = ".safetensors"
PARTIAL = ".checkpoint.partial"


def write(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, step: int) -> None:
    """Add a checkpoint, and remove all but the last two.

    Args:
        folder: The work folder.
        tensors: All tensors by name; none may share memory with another.
        state: Plain JSON values.
        step: Steps done; a checkpoint of the same step is replaced.

    Raises:
        OSError: The disk is full or fails; the checkpoints that were there are as they were.
    """
    # With zeros in front names sort as their numbers do.
    target = folder / f"{PREFIX}{step:010d}{SUFFIX}"
    partial = folder / PARTIAL
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(state)
    try:
        _write_file(partial, contiguous, {"state": text, "sha256": _digest(contiguous, text)})
        durable.put(partial, target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    for old in _checkpoints(folder)[NUM_KEPT:]:
        old.unlink(missing_ok=True)


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps, for what is written next counts as older than these."""
    for path in _checkpoints(folder):
        if int(path.name.removeprefix(PREFIX).removesuffix(SUFFIX)) > step:
            path.unlink(missing_ok=True)


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return the tensors and the state of the newest checkpoint that verifies, or None where there is none.

    Raises:
        ModelError: There are checkpoints, and all of them are damaged.
    """
    found = _checkpoints(folder)
    for path in found:
        try:
            return _read_one(path)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            logger.warning("The checkpoint %s does not verify (%s): the one before it is taken.", path, error)
    if found:
        raise ModelError(
            f"No checkpoint in {folder} verifies: the training cannot be taken up.",
            hint=f"Remove {folder} to begin anew, and have the disk checked.",
        )
    return None


def select(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: Any, prefix: str) -> dict[str, Tensor]:
    """Return an optimizer's state, one tensor for each value of each parameter."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: Any, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer the state that :func:`optimizer_tensors` returned, the prefix removed."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        parameter = parameters[int(index)]
        # A count of steps is a single number and never spread.
        is_like_it = tensor.shape == parameter.shape
        state.setdefault(int(index), {})[name] = sharding.spread_one(tensor, parameter) if is_like_it else tensor
    # The groups are those of this run, which has the same settings; only what was learned comes from the file.
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def unshared_state(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Return copies of a network's weights, so that tied weights become separate tensors."""
    return {f"{prefix}{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, the newest first."""
    return sorted(folder.glob(f"{PREFIX}*{SUFFIX}"), reverse=True)


def _read_one(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    if _digest(tensors, header["state"]) != header["sha256"]:
        raise ValueError("its content does not match its digest")
    return tensors, json.loads(header["state"])


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    """Return the SHA-256 of names, types, shapes and bytes, and of the state."""
    digest = hashlib.sha256(state.encode())
    # The file gives the names in an order of its own.
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # As bytes, since numpy has no bf16; flat first, since a single number has no dimension to cut into bytes.
        digest.update(tensor.reshape(-1).view(uint8).numpy().data)
    return digest.hexdigest()


def _write_file(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    try:
        save_file(tensors, path, metadata=header)
    except SafetensorError as error:
        # Callers tell a full disk by this class; the library wraps it into one of its own.
        raise OSError(*_number_and_text(error)) from error


def _number_and_text(error: Exception) -> tuple[int, str]:
    """Return the system's error number out of what a library written in Rust says in words."""
    said = str(error)
    digits = said.rpartition("(os error ")[2].partition(")")[0]
    return (int(digits), os.strerror(int(digits))) if digits.isdigit() else (0, said)
