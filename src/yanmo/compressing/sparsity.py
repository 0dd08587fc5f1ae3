"""Single weights set to zero: what the textbooks call pruning, with a plain statement of what it is worth.

The file is as large as before and the model as fast: a zero takes as many bytes as another number, and products are
computed with it. Only what is sent or stored compressed is smaller.

Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", section 3,
arXiv:1506.02626.
Differs: the network is not trained afterwards.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from yanmo.artifacts.bundle import GOLDEN, OUT_OF_FOLD, WEIGHTS, Bundle, copy_files
from yanmo.artifacts.card import CARDS
from yanmo.errors import ArtifactError

__all__ = ["copy_with_zeros"]

# Each is made anew, or tells of the weights as they were.
SKIPPED = ("metrics.jsonl", GOLDEN, OUT_OF_FOLD, *CARDS.values())


def copy_with_zeros(bundle: Bundle, folder: Path, *, share: float, threshold: float) -> dict[str, Any]:
    """Copy a Bundle's files with the smallest weights of its matrices set to zero; return what that did.

    Args:
        bundle: With its weights in ``model.safetensors``.
        folder: Where the copies go.
        share: Of the weights of all matrices together, those that become zero.
        threshold: Also those of a smaller magnitude.

    Raises:
        ArtifactError: There is no matrix of weights, as where n-grams are counted.
    """
    copy_files(bundle, folder, without=SKIPPED)
    tensors = load_file(bundle.path / WEIGHTS)
    # Vectors, such as biases, are few: zeros there would save nothing.
    matrices = {name: one for name, one in tensors.items() if one.ndim > 1 and np.issubdtype(one.dtype, np.floating)}
    if not matrices:
        raise ArtifactError(
            f"{bundle.path} holds {bundle.model}, which has counts and no weights that could be set to zero.",
            hint="Train it again with a lower order: --order 3.",
        )
    magnitudes = np.concatenate([np.abs(one).ravel() for one in matrices.values()])
    limit = max(threshold, float(np.quantile(magnitudes, share)) if share else 0.0)
    for name, one in matrices.items():
        tensors[name] = np.where(np.abs(one) < limit, np.zeros_like(one), one)
    # load_file leaves the metadata out, by which readers such as transformers tell whose tensors these are.
    with safe_open(bundle.path / WEIGHTS, framework="numpy") as file:
        save_file(tensors, folder / WEIGHTS, metadata=file.metadata())
    num_zeros = sum(int((tensors[name] == 0).sum()) for name in matrices)
    before, after = (len(zlib.compress((place / WEIGHTS).read_bytes())) for place in (bundle.path, folder))
    return {
        "sparsity": num_zeros / magnitudes.size,
        "threshold": limit,
        "compressed_mb": round(after / 1e6, 3),
        "compressed_mb_before": round(before / 1e6, 3),
    }
