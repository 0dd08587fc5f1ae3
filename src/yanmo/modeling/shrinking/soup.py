"""The mean of several models' weights, file to file, in numpy alone; it knows no architecture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from yanmo.artifacts.bundle import CHAIN, TREES, WEIGHTS
from yanmo.errors import ArtifactError

__all__ = ["average_weights"]


def average_weights(folders: Sequence[Path], out: Path) -> None:
    """Write the mean of the folders' weights into ``out``.

    Args:
        folders: Each with a ``model.safetensors`` of the same tensors. Those of numbers with a point are averaged; all
            others, such as bitmaps and keys, must be equal.
        out: The folder that gets a ``model.safetensors``, and where the models have a chain over units, its file.

    Raises:
        ArtifactError: The tensors are not of the same names and shapes, or those that must be equal are not.
    """
    for name in (WEIGHTS, CHAIN, TREES):
        having = [folder for folder in folders if (folder / name).is_file()]
        if having and len(having) < len(folders):
            raise _no_mean(having[0], next(one for one in folders if one not in having), f"the file {name}")
        if having:
            _average_file(folders, out, name)


def _average_file(folders: Sequence[Path], out: Path, file: str) -> None:
    total: dict[str, np.ndarray] = {}
    for folder in folders:
        tensors = load_file(folder / file)
        if total and {name: one.shape for name, one in tensors.items()} != {
            name: one.shape for name, one in total.items()
        }:
            raise _no_mean(folder, folders[0], "the names and shapes of their tensors")
        for name, tensor in tensors.items():
            if not np.issubdtype(tensor.dtype, np.floating):
                if name in total and not np.array_equal(total[name], tensor):
                    raise _no_mean(folder, folders[0], f"the tensor {name}")
                total[name] = tensor
            else:
                # In 64 bits, so that the sum loses nothing that the result could show.
                total[name] = total.get(name, 0.0) + tensor.astype(np.float64) / len(folders)
    rounded = {name: one.astype(np.float32) if one.dtype == np.float64 else one for name, one in total.items()}
    save_file(rounded, out / file, metadata={"format": "pt"})


def _no_mean(folder: Path, first: Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"average-weights needs members of one shape: {folder} and {first} differ in {what}.",
        hint="Train the members on one Dataset with the same model and sizes, only with other seeds or learning rates.",
    )
