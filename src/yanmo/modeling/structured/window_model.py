"""The window model as training has it: a table of weights and how labels go together; saved in 8 bits.

It knows no artifact, no torch, and not how the weights are learned.

Legend: K features with weights, F features of one unit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from safetensors.numpy import save_file

from yanmo.answers.chains import Chain, Steps, log_marginals
from yanmo.arrays import FloatArray, IntArray
from yanmo.text.inputs import Units
from yanmo.text.lexicon import Lexicon
from yanmo.text.window_features import WindowConfig, WindowFeatures

__all__ = ["Buckets", "WindowModel", "feature_matrix"]

LARGEST = 127

Buckets = npt.NDArray[np.int32]
"""A number for each feature of each unit, int32, shape (U, F)."""


@dataclass(frozen=True)
class WindowModel:
    """Weights of features and scores of pairs of labels.

    Attributes:
        config: Which features.
        lexicon: The word list of the features, None without one.
        kept_K: The buckets that have weights, ascending.
        weights_KC: Their weights, float32.
        chain: How labels go together.
        sharpness: How much more than the others the best path counts in the probabilities, as in ``log_marginals``.
    """

    config: WindowConfig
    lexicon: Lexicon | None
    kept_K: IntArray
    weights_KC: FloatArray
    chain: Chain
    sharpness: float

    def scores(self, features: Buckets, offsets: IntArray) -> FloatArray:
        """Return scores of every unit's labels, the logarithms of their probabilities up to a constant.

        Args:
            features: Rows of ``weights_KC`` and K for what has none, shape (U, F).
            offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        """
        # A feature without weights reads a row of zeros behind the last one.
        padded = np.concatenate([self.weights_KC, np.zeros((1, self.weights_KC.shape[1]), dtype=np.float32)])
        scores_UC = feature_matrix(features, len(padded)) @ padded
        return log_marginals(scores_UC, Steps.of(offsets), self.chain, sharpness=self.sharpness)

    def rows(self, units: Units) -> Buckets:
        """Return the features of every unit as rows of the weights, K for what has none, int32, shape (U, F)."""
        numbers = np.full(1 << self.config.bits, len(self.kept_K), dtype=np.int32)
        numbers[self.kept_K] = np.arange(len(self.kept_K), dtype=np.int32)
        return numbers[WindowFeatures(units, self.config, self.lexicon).matrix()]

    def smaller(self) -> WindowModel:
        """Return the model with weights of 8 bits times one number, without the features that this leaves nothing of.

        Of more than the config's ``max_rows`` features those with the largest weights are kept.
        """
        largest_K = np.abs(self.weights_KC).max(axis=1, initial=0.0)
        scale = _scale(self.weights_KC)
        order_K = np.argsort(-largest_K, kind="stable")[: self.config.max_rows]
        rows = np.sort(order_K[largest_K[order_K] >= scale / 2])
        weights_KC = np.rint(self.weights_KC[rows] / scale) * scale
        return replace(self, kept_K=self.kept_K[rows], weights_KC=weights_KC)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``window.json``, the features, as ``runtimes.window`` reads them."""
        scale = _scale(self.weights_KC)
        kept = np.zeros(1 << self.config.bits, dtype=np.uint8)
        kept[self.kept_K] = 1
        tensors = {
            "kept": np.packbits(kept, bitorder="little"),
            "weights": np.rint(self.weights_KC / scale).astype(np.int8),
            "unit": np.array([scale], dtype=np.float32),
            "transitions": self.chain.transitions_CC,
            "start": self.chain.start_C,
            "end": self.chain.end_C,
            "sharpness": np.array([self.sharpness], dtype=np.float32),
        }
        if self.lexicon is not None:
            tensors["lexicon"] = self.lexicon.tensor()
        save_file({name: np.ascontiguousarray(one) for name, one in tensors.items()}, folder / "model.safetensors")
        content = json.dumps(self.config.model_dump(mode="json"), indent=2) + "\n"
        (folder / "window.json").write_text(content, encoding="utf-8")


def feature_matrix(features: Buckets, num_columns: int) -> Any:
    """Return features as a sparse matrix of counts, shape (U, columns)."""
    num_units, num_features = features.shape
    ends = np.arange(0, num_units * num_features + 1, max(num_features, 1))
    ones = np.ones(num_units * num_features, dtype=np.float32)
    return scipy.sparse.csr_matrix((ones, features.ravel(), ends), shape=(num_units, num_columns))


def _scale(weights_KC: FloatArray) -> float:
    """Return what weights of 8 bits are multiplied with."""
    return float(max(np.abs(weights_KC).max(initial=0.0) / LARGEST, 1e-9))
