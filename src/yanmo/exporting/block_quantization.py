"""Weights in 8 bits with a scale for every block of their inputs; numpy only, it knows no graph.

Each value stands for ``(value - 128) * scale``, and the extreme of a block is 0, so that all levels are used. Products
of such blocks round the inputs block by block, too: a row gives the same bits alone and beside others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray

__all__ = ["BLOCK_SIZE", "BlockWeights", "quantize_blocks"]

BLOCK_SIZE = 32
"""Inputs that share a scale. Of blocks of 128 rows give other bits alone than beside others."""
MIDDLE = 128


@dataclass(frozen=True)
class BlockWeights:
    """A matrix in 8 bits.

    Attributes:
        values_NKB: uint8, shape (outputs, blocks, BLOCK_SIZE).
        scale_NK: float32, shape (outputs, blocks).
    """

    values_NKB: npt.NDArray[np.uint8]
    scale_NK: FloatArray

    def dequantize(self) -> FloatArray:
        """Return the matrix as float32, shape (outputs, inputs)."""
        whole_NKB = self.values_NKB.astype(np.float32) - MIDDLE
        return (whole_NKB * self.scale_NK[..., None]).reshape(len(whole_NKB), -1)


def quantize_blocks(weight_NI: FloatArray) -> BlockWeights:
    """Return the 8-bit form of a matrix.

    Args:
        weight_NI: float32, shape (outputs, inputs); the inputs are a multiple of ``BLOCK_SIZE``.
    """
    blocks_NKB = np.ascontiguousarray(weight_NI).reshape(len(weight_NI), -1, BLOCK_SIZE)
    places_NK1 = np.abs(blocks_NKB).argmax(axis=2, keepdims=True)
    extreme_NK: FloatArray = np.take_along_axis(blocks_NKB, places_NK1, axis=2)[..., 0]
    scale_NK = extreme_NK / -MIDDLE
    # A block of zeros has no extreme to divide by, and any scale is right.
    scale_NK[scale_NK == 0] = 1
    whole_NKB = np.rint(blocks_NKB / scale_NK[..., None]) + MIDDLE
    return BlockWeights(np.clip(whole_NKB, 0, 255).astype(np.uint8), scale_NK.astype(np.float32))
