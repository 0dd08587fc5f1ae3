"""The tensors of a checkpoint under the names that transformers gives them; it knows no family."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.exporting.encoder import Norm, Product

__all__ = ["NamedWeights"]


class NamedWeights:
    """Tensors by name, and what an encoder is made of: products and normalizations."""

    def __init__(self, tensors: Mapping[str, FloatArray]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> FloatArray:
        return self._tensors[name]

    def get(self, name: str) -> FloatArray | None:
        """Return a tensor, None where there is none."""
        return self._tensors.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def has(self, source: str) -> bool:
        """Return whether there is a layer of this name."""
        return f"{source}.weight" in self._tensors

    def product(self, name: str, *sources: str) -> Product:
        """Return the linear layers of some names side by side as one product."""
        # torch keeps linear weights as (outputs, inputs).
        weight_KN = np.concatenate([self._tensors[f"{source}.weight"].T for source in sources], axis=1)
        bias_N = np.concatenate([self._bias(source) for source in sources])
        return Product(name, np.ascontiguousarray(weight_KN), bias_N)

    def norm(self, name: str, source: str) -> Norm:
        """Return a normalization."""
        return Norm(name, self._tensors[f"{source}.weight"], self._bias(source))

    def _bias(self, source: str) -> FloatArray:
        # Some families have none, which is the same as adding nothing.
        found = self._tensors.get(f"{source}.bias")
        return np.zeros(len(self._tensors[f"{source}.weight"]), np.float32) if found is None else found
