"""The weights of a parser in 8 bits: tables of rows, one a bucket, whose sums are scores; it knows no state.

Legend: R states, F templates, C columns, K buckets, V rows that are not zero.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from yanmo.arrays import Array, FloatArray, IntArray

__all__ = ["ArcWeights", "WeightTable"]

LANES = 4
"""Sums of 16 bits in one number of 64: a row is moved as so many such numbers."""
LARGEST = 127
BLOCK = 1 << 16
"""Numbers of 64 bits that are gathered at a time: they stay in the cache."""


class WeightTable(Struct, frozen=True):
    """A row of weights for every bucket.

    Attributes:
        lanes_KL: Weights of 16 bits, four in a number.
        num_columns: C.
        scale: What a weight is multiplied with.
    """

    lanes_KL: npt.NDArray[np.uint64]
    num_columns: int
    scale: float

    @classmethod
    def of(cls, weights_KC: FloatArray) -> Self:
        """Return weights rounded to 8 bits times one number."""
        scale = float(max(np.abs(weights_KC).max(initial=0.0) / LARGEST, 1e-9))
        return cls._of_bytes(np.rint(weights_KC / scale).astype(np.int8), scale)

    @classmethod
    def _of_bytes(cls, bytes_KC: npt.NDArray[np.int8], scale: float) -> Self:
        num_rows, num_columns = bytes_KC.shape
        padded = np.zeros((num_rows, -(-num_columns // LANES) * LANES), dtype=np.int16)
        padded[:, :num_columns] = bytes_KC
        return cls(padded.view(np.uint64), num_columns, scale)

    @property
    def bits(self) -> int:
        """There are two to this power rows."""
        return len(self.lanes_KL).bit_length() - 1

    def sums_RC(self, buckets_FR: IntArray) -> FloatArray:
        """Return the sum of the rows of each state, float32."""
        num_templates, num_states = buckets_FR.shape
        num_lanes = self.lanes_KL.shape[1]
        sums = np.empty((num_states, num_lanes * LANES), dtype=np.int16)
        step = max(BLOCK // (num_templates * num_lanes), 1)
        for begin in range(0, num_states, step):
            taken_FRL = self.lanes_KL.take(buckets_FR[:, begin : begin + step], axis=0)
            # Lanes cannot overflow: no sum of so few weights of 8 bits has more than 16.
            np.add.reduce(taken_FRL.view(np.int16), axis=0, dtype=np.int16, out=sums[begin : begin + step])
        return sums[:, : self.num_columns] * np.float32(self.scale)

    def tensors(self, name: str) -> dict[str, Array]:
        """Return what a file holds: which rows are not zero, these, and the scale."""
        bytes_KC = self.lanes_KL.view(np.int16)[:, : self.num_columns].astype(np.int8)
        is_kept_K = bytes_KC.any(axis=1)
        return {
            f"{name}_kept": np.packbits(is_kept_K, bitorder="little"),
            f"{name}_weights": bytes_KC[is_kept_K],
            f"{name}_scale": np.array([self.scale], dtype=np.float32),
        }

    @classmethod
    def read(cls, tensors: dict[str, Array], name: str) -> Self:
        """Return the table that :meth:`tensors` wrote."""
        is_kept_K = np.unpackbits(tensors[f"{name}_kept"], bitorder="little").astype(np.bool_)
        rows_VC = tensors[f"{name}_weights"]
        bytes_KC = np.zeros((len(is_kept_K), rows_VC.shape[1]), dtype=np.int8)
        bytes_KC[is_kept_K] = rows_VC
        return cls._of_bytes(bytes_KC, float(tensors[f"{name}_scale"][0]))


class ArcWeights(Struct, frozen=True):
    """All weights of a parser.

    Attributes:
        actions: Of the next action.
        relations: Of an arc's relation.
    """

    actions: WeightTable
    relations: WeightTable

    @property
    def num_relations(self) -> int:
        """C."""
        return self.relations.num_columns
