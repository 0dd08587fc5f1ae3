"""Weighted sums of table rows, one sum for each text, with numpy alone; it knows neither n-grams nor models.

Texts of about equal length share a rectangle: one gather into a buffer that stays in the processor's cache, and one
small vector-matrix product for each text. That is twice as fast as ``np.add.reduceat`` and takes weights at no cost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.runtimes.batching import plan_batches

__all__ = ["row_sums"]

BUFFER_NUMBERS = 1 << 18
"""Float32 numbers gathered at a time: 1 MB."""


def row_sums(table_FD: FloatArray, places: Ragged, weights: FloatArray | None = None) -> FloatArray:
    """Return the sum of some table rows for each text.

    Args:
        table_FD: Float32, shape (F, D).
        places: Row numbers of N texts, all within the table; a text may have none.
        weights: What each gathered row is multiplied with, float32, one for each value of ``places``; None means 1.

    Returns:
        Float32, shape (N, D); zeros where a text has no rows.
    """
    budget = max(BUFFER_NUMBERS // table_FD.shape[1], 1)
    sums_ND = np.zeros((len(places), table_FD.shape[1]), dtype=np.float32)
    # A single text, as a service gets it, needs no rectangle.
    if len(places) == 1:
        sums_ND[0] = _sum_one(table_FD, places.values, weights, budget)
        return sums_ND
    lengths_N = places.lengths_N
    num_cells = len(places) * int(lengths_N.max(initial=0))
    buffer_MD = np.empty((min(budget, num_cells), table_FD.shape[1]), dtype=np.float32)
    for rows_B in plan_batches(lengths_N, budget):
        if lengths_N[rows_B[0]] > budget:
            inside = slice(places.offsets[rows_B[0]], places.offsets[rows_B[0] + 1])
            chosen = weights[inside] if weights is not None else None
            sums_ND[rows_B[0]] = _sum_one(table_FD, places.values[inside], chosen, budget)
        elif lengths_N[rows_B[0]] > 0:
            sums_ND[rows_B] = _sum_rectangle(table_FD, places, weights, rows_B, buffer_MD)
    return sums_ND


def _sum_one(
    table_FD: FloatArray, places_M: npt.NDArray[np.integer], weights_M: FloatArray | None, budget: int
) -> FloatArray:
    """Return the sum for one text of any length, shape (D,)."""
    weights_M = np.ones(len(places_M), dtype=np.float32) if weights_M is None else weights_M
    total_D = np.zeros(table_FD.shape[1], dtype=np.float32)
    for start in range(0, len(places_M), budget):
        total_D += weights_M[start : start + budget] @ table_FD.take(places_M[start : start + budget], axis=0)
    return total_D


def _sum_rectangle(
    table_FD: FloatArray, places: Ragged, weights: FloatArray | None, rows_B: IntArray, buffer_MD: FloatArray
) -> FloatArray:
    """Return the sums of texts of which the first is the longest, shape (B, D)."""
    begins_B, ends_B = places.offsets[rows_B], places.offsets[rows_B + 1]
    positions_BL = begins_B[:, None] + np.arange(ends_B[0] - begins_B[0])
    is_inside_BL = positions_BL < ends_B[:, None]
    # Padding points to place 0, which is always there, and has the weight 0.
    positions_BL *= is_inside_BL
    flat_M = positions_BL.ravel()
    gathered_MD = buffer_MD[: len(flat_M)]
    # With mode="clip" numpy writes straight into the buffer; no place is out of range.
    np.take(table_FD, places.values.take(flat_M), axis=0, out=gathered_MD, mode="clip")
    weights_BL = is_inside_BL.astype(np.float32)
    if weights is not None:
        weights_BL *= weights.take(flat_M).reshape(weights_BL.shape)
    gathered_BLD = gathered_MD.reshape(*is_inside_BL.shape, -1)
    sums_BD: FloatArray = np.matmul(weights_BL[:, None, :], gathered_BLD)[:, 0]
    return sums_BD
