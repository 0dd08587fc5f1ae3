"""Eight-bit forms of weights and activations: scales, clipping, rounding; numpy only, it knows no graph.

Weights are symmetric int8 with a scale for each output or for the whole matrix; activations are unsigned 8-bit with a
zero point.

Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 2.1, arXiv:1712.05877.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray

__all__ = [
    "ActivationRange",
    "Clipping",
    "Granularity",
    "Kind",
    "Products",
    "QuantizedProduct",
    "QuantizedTable",
    "activation_scale",
    "quantize_rows",
    "quantize_table",
    "quantize_weight",
]

Kind = Literal["dynamic", "static", "weight-only"]
Granularity = Literal["per-channel", "per-tensor"]
Clipping = Literal["max", "mse", "percentile"]
Products = Literal["blocks", "rows"]
"""Of a language model. blocks: each 32 inputs of a token have a scale, and each 32 weights of an output; rows: each
token has one, and each output, which is faster for many tokens and less exact."""
Int8Array = npt.NDArray[np.int8]
ScaleArray = npt.NDArray[np.float16 | np.float32]

PERCENTILE = 99.99
SHARES = np.linspace(0.4, 1.0, 25)
"""Shares of the largest magnitude that the search for the least squared error tries."""
# -128 is not used: with symmetric ends zero stays zero and no sign is favored.
FULL_RANGE, REDUCED_RANGE = 127, 64
LEVELS = 255
TINY = 1e-30


@dataclass(frozen=True)
class QuantizedProduct:
    """An affine map with int8 weights.

    Attributes:
        kind: dynamic: inputs are quantized as they come; static: with a fixed scale; weight-only: not at all.
        weight_KN: int8.
        scale_N: float32, one for each output, or shape (1,) for all.
        input_scale: Of static products.
        input_zero: The input's value of zero, 0 to 255, of static products.
    """

    kind: Kind
    weight_KN: Int8Array
    scale_N: FloatArray
    input_scale: float = 1.0
    input_zero: int = 0


@dataclass(frozen=True)
class QuantizedTable:
    """An embedding with int8 rows, ``values_VE * scale_V1``; the scale is float16 where that is as good."""

    values_VE: Int8Array
    scale_V1: ScaleArray


@dataclass(frozen=True)
class ActivationRange:
    """What the inputs of a product were seen to be: smallest and largest value after clipping."""

    low: float
    high: float


def quantize_weight(
    weight_KN: FloatArray, *, granularity: Granularity, clipping: Clipping, reduce_range: bool
) -> tuple[Int8Array, FloatArray]:
    """Return the int8 weights of a matrix and their scale, shape (N,) or (1,).

    Args:
        weight_KN: float32, shape (inputs, outputs).
        granularity: A scale for each output, or one for all.
        clipping: max: nothing is cut off; mse: the cut with the least squared error; percentile: of magnitudes.
        reduce_range: Use 7 bits: on processors without VNNI two 8-bit products can overflow the 16 bits of their sum.
    """
    columns = weight_KN if granularity == "per-channel" else weight_KN.reshape(-1, 1)
    top = REDUCED_RANGE if reduce_range else FULL_RANGE
    limit_N = _limits(columns, clipping, top)
    scale_N = np.maximum(limit_N / top, TINY).astype(np.float32)
    return _round(weight_KN, scale_N if granularity == "per-channel" else scale_N[0], top), scale_N


def quantize_table(table_VE: FloatArray, *, clipping: Clipping) -> QuantizedTable:
    """Return the int8 form of an embedding, with a scale for each row."""
    limit_V = _limits(table_VE.T, clipping, FULL_RANGE)
    scale_V1 = _compact(np.maximum(limit_V / FULL_RANGE, TINY).astype(np.float32)[:, None])
    return QuantizedTable(_round(table_VE, scale_V1, FULL_RANGE), scale_V1)


def quantize_rows(weight: FloatArray, *, channel: int) -> tuple[Int8Array, ScaleArray]:
    """Return the int8 form of an array of any shape, with a broadcast scale for each place of one axis.

    The scale is float16 where that is as good.
    """
    others = tuple(axis for axis in range(weight.ndim) if axis != channel)
    scale = _compact(np.maximum(np.abs(weight).max(axis=others, keepdims=True) / FULL_RANGE, TINY).astype(np.float32))
    return _round(weight, scale, FULL_RANGE), scale


def activation_scale(seen: ActivationRange) -> tuple[float, int]:
    """Return scale and zero point of unsigned 8-bit values that cover a range and hold zero exactly."""
    # The range is widened to hold zero, which padding and ReLU give and which must come out as zero.
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    scale = max((high - low) / LEVELS, TINY)
    return float(np.float32(scale)), int(np.clip(np.rint(-low / scale), 0, LEVELS))


def _round(weights: FloatArray, scale: Any, top: int) -> Int8Array:
    whole: Int8Array = np.clip(np.rint(weights / scale), -top, top).astype(np.int8)
    return whole


def _compact(scale: FloatArray) -> ScaleArray:
    """Return scales as float16, rounded up so that nothing is cut off, if no step grows by more than a hundredth."""
    # A scale that float16 cannot hold becomes infinite and is refused below.
    with np.errstate(over="ignore"):
        half = scale.astype(np.float16)
    half = np.where(half < scale, np.nextafter(half, np.float16(np.inf)), half)
    # A row of zeros has the scale TINY, which float16 cannot hold either, but zero times any scale is right.
    return half if np.all((half <= 1.01 * scale) | (scale <= TINY)) else scale


def _limits(weight_KN: FloatArray, clipping: Clipping, top: int) -> FloatArray:
    """Return the largest magnitude that each column keeps, shape (N,)."""
    magnitude_KN = np.abs(weight_KN)
    largest_N: FloatArray = magnitude_KN.max(axis=0)
    if clipping == "max":
        return largest_N
    if clipping == "percentile":
        return np.asarray(np.percentile(magnitude_KN, PERCENTILE, axis=0), np.float32)
    # Every share is tried for all columns at once; each column keeps its own best.
    best_N, least_N = largest_N, np.full(largest_N.shape, np.inf, np.float32)
    for share in SHARES:
        limit_N = largest_N * share
        scale_N = np.maximum(limit_N / top, TINY)
        error_N = np.square(weight_KN - np.clip(np.rint(weight_KN / scale_N), -top, top) * scale_N).sum(axis=0)
        is_better_N = error_N < least_N
        best_N, least_N = np.where(is_better_N, limit_N, best_N), np.where(is_better_N, error_N, least_N)
    return np.asarray(best_N, np.float32)
