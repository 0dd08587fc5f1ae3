"""The weights of a Hugging Face folder by name, as numpy arrays, and the two parts that all layers are made of.

It knows no family, and neither torch nor ONNX operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from yanmo.arrays import FloatArray
from yanmo.errors import ModelError

__all__ = ["DecoderNorm", "DecoderProduct", "DecoderTensors", "read_checkpoint"]


@dataclass(frozen=True)
class DecoderProduct:
    """A linear map, ``x @ weight``, with a bias where there is one.

    Attributes:
        name: Unique in a network.
        weight_KN: float32, shape (inputs, outputs).
        bias_N: float32, or None.
    """

    name: str
    weight_KN: FloatArray
    bias_N: FloatArray | None = None


@dataclass(frozen=True)
class DecoderNorm:
    """Layer normalization; without a shift that of the root mean square alone."""

    name: str
    scale_D: FloatArray
    shift_D: FloatArray | None = None


class DecoderTensors:
    """Tensors by name, in the shapes of decoders; torch keeps linear weights as (outputs, inputs)."""

    def __init__(self, tensors: Mapping[str, FloatArray]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> FloatArray:
        return self._tensors[name]

    def get(self, name: str) -> FloatArray | None:
        """Return a weight, None where there is none."""
        return self._tensors.get(name)

    def product(self, name: str, *sources: str) -> DecoderProduct:
        """Return the linear layers of some names side by side as one product."""
        weight_KN = np.concatenate([self._tensors[f"{source}.weight"].T for source in sources], axis=1)
        biases = [self._tensors[f"{source}.bias"] for source in sources if f"{source}.bias" in self._tensors]
        return DecoderProduct(name, np.ascontiguousarray(weight_KN), np.concatenate(biases) if biases else None)

    def norm(self, name: str, source: str) -> DecoderNorm:
        """Return a normalization."""
        return DecoderNorm(name, self._tensors[f"{source}.weight"], self._tensors.get(f"{source}.bias"))

    def optional_norm(self, name: str, source: str) -> DecoderNorm | None:
        """Return a normalization, None where there is none."""
        return self.norm(name, source) if f"{source}.weight" in self._tensors else None


def read_checkpoint(folder: Path) -> tuple[dict[str, Any], DecoderTensors]:
    """Return what a folder's ``config.json`` and ``model.safetensors`` hold.

    Raises:
        ModelError: A file cannot be read.
    """
    try:
        config = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
        found = load_file(folder / "model.safetensors")
    except (OSError, msgspec.MsgspecError, SafetensorError) as error:
        raise ModelError(f"{folder} cannot be read: {error}.", hint="Train or copy the model again.") from error
    return config, DecoderTensors({name: np.asarray(array, np.float32) for name, array in found.items()})
