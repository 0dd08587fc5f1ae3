"""The 8-bit form in which numpy Bundles may keep their weights, written and read here; it knows no Bundle.

``<name>`` is then an array of 8-bit integers and ``<name>.scale`` what they are multiplied with. A sorted table of
hashes is ``<name>.low`` and ``<name>.counts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray, IntArray

__all__ = ["KEY_BITS", "pack_columns", "pack_keys", "pack_positive", "unpack"]

KEY_BITS = 28
LOW_BITS = 16
HASH_BITS = 64
TINY = 1e-30
PARTS = ("scale", "low", "counts")

Tensors = dict[str, npt.NDArray[Any]]


def pack_columns(name: str, weight: FloatArray) -> Tensors:
    """Return the int8 form of a matrix, with a scale for each of its columns."""
    scale = np.maximum(np.abs(weight).max(axis=0, keepdims=True) / 127, TINY).astype(np.float32)
    return {name: np.rint(weight / scale).astype(np.int8), f"{name}.scale": scale}


def pack_positive(name: str, values: FloatArray) -> Tensors:
    """Return the uint8 form of numbers that are not negative."""
    scale = np.maximum(values.max(initial=0.0, keepdims=True) / 255, TINY).astype(np.float32)
    return {name: np.rint(values / scale).astype(np.uint8), f"{name}.scale": scale}


def pack_keys(name: str, keys: npt.NDArray[np.uint64]) -> tuple[Tensors, IntArray]:
    """Return a sorted table of hashes in two bytes each, and which of the hashes it holds.

    Only the highest 28 bits are kept: the lower 16 as they are, the upper 12 as the number of hashes that have them. Of
    hashes that are equal in these bits the first is kept. Of F hashes, F / 2^28 of all others are taken for one.

    Args:
        name: Of the table.
        keys: Ascending, shape (F,).

    Source: Elias 1974, "Efficient Storage and Retrieval by Content and Address of Static Files", Journal of the ACM
        21(2), section 2.
    Differs: the upper parts are counted, not written in unary; there is no index, since all of it is unpacked.
    """
    # Sorted, so that hashes with the same upper bits stand together and their number is enough to tell them.
    short, rows = np.unique(keys >> np.uint64(HASH_BITS - KEY_BITS), return_index=True)
    counts = np.bincount((short >> np.uint64(LOW_BITS)).astype(np.int64), minlength=1 << (KEY_BITS - LOW_BITS))
    low = (short & np.uint64((1 << LOW_BITS) - 1)).astype(np.uint16)
    return {f"{name}.low": low, f"{name}.counts": counts.astype(np.uint32)}, rows


def unpack(tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
    """Return all arrays as they are computed with: floats, and tables of the highest bits of hashes as uint64."""
    plain = {name: array for name, array in tensors.items() if name.rpartition(".")[2] not in PARTS}
    for name, array in tensors.items():
        base, _, part = name.rpartition(".")
        if part == "scale":
            plain[base] = tensors[base].astype(np.float32) * array
        elif part == "low":
            # The upper parts again: each as often as it was counted.
            high = np.repeat(np.arange(1 << (KEY_BITS - LOW_BITS), dtype=np.uint64), tensors[f"{base}.counts"])
            plain[base] = (high << np.uint64(LOW_BITS)) | array.astype(np.uint64)
    return plain
