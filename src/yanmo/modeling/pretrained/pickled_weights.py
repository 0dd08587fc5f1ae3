"""A process of its own that writes the tensors of ``pytorch_model.bin`` as safetensors; it runs nothing they bring.

``python -m yanmo.modeling.pretrained.pickled_weights FOLDER TARGET``; torch's reader for weights refuses everything but
tensors.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["convert"]

NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts keep the weights beside other things."""


def convert(folder: Path, target: Path) -> None:
    """Write all pickled weights of a folder into one file of safetensors.

    Args:
        folder: With ``pytorch_model.bin`` or its parts.
        target: The new file.

    Raises:
        ValueError: A file holds no tensors, or more than that.
        TypeError: A file holds something without names.
    """
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("pytorch_model*.bin")):
        tensors |= _read(path)
    if not tensors:
        raise ValueError("there are no tensors in it")
    # Cloned, since tied weights share memory, which safetensors refuses.
    save_file({name: one.contiguous().clone() for name, one in tensors.items()}, target, metadata={"format": "pt"})


def _read(path: Path) -> dict[str, Tensor]:
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path.name} is damaged, or holds code besides tensors, which is not run") from error
    nested = next(
        (name for name in NESTED if isinstance(found, Mapping) and isinstance(found.get(name), Mapping)), None
    )
    weights = found[nested] if nested else found
    if not isinstance(weights, Mapping):
        raise TypeError(f"{path.name} holds a {type(weights).__name__}, no named tensors")
    return {str(name): one for name, one in weights.items() if isinstance(one, Tensor)}


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except (ValueError, TypeError, OSError, RuntimeError, EOFError) as error:
        sys.exit(str(error).strip().partition("\n")[0])
