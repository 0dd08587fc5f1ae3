"""What the graphs of language models have in common: products and tables in fp32 or in 8 bits, norms, gates.

It knows no layer and no attention.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray
from yanmo.exporting.block_quantization import BLOCK_SIZE, quantize_blocks
from yanmo.exporting.decoder_tensors import DecoderNorm, DecoderProduct
from yanmo.exporting.graph import MICROSOFT, GraphWriter
from yanmo.exporting.quantization import Products, quantize_weight

__all__ = ["LanguageGraphWriter"]

ACCURACY_LEVEL = 4
"""Inputs of products in 8 bits, too, block by block."""
TOP, MIDDLE = 127, 128
"""Of the integers that inputs of products by rows become: the largest, and that of 0."""


class LanguageGraphWriter(GraphWriter):
    """Adds the parts of a network's layers; between them states have the shape (B, T, D).

    Args:
        is_int8: Whether products have 8-bit weights, and the embeddings, too.
        kept: Names of products that stay fp32 all the same.
        epsilon: Of every normalization.
        activation: Of the feed-forward parts.
        is_gated: Whether it gates a second product.
        products: Those of linear maps in 8 bits.
    """

    def __init__(
        self,
        *,
        is_int8: bool,
        kept: Collection[str],
        epsilon: float,
        activation: str,
        is_gated: bool,
        products: Products = "blocks",
    ) -> None:
        super().__init__()
        self._is_int8 = is_int8
        self._kept = frozenset(kept)
        self._epsilon = epsilon
        self._activation_name = activation
        self._is_gated = is_gated
        self._products = products

    def add_and_norm(self, hidden: str, branch: str, norm: DecoderNorm) -> tuple[str, str]:
        """Add what is added to the states and the normalization of the sum; return that, and the sum."""
        if not branch:
            return self.norm(hidden, norm), hidden
        operator = "SkipSimplifiedLayerNormalization" if norm.shift_D is None else "SkipLayerNormalization"
        inputs = [hidden, branch, *self._norm_constants(norm)]
        normed, _, _, summed = self.add_many(operator, inputs, 4, domain=MICROSOFT, epsilon=self._epsilon)
        return normed, summed

    def norm(self, rows: str, norm: DecoderNorm) -> str:
        """Add a normalization."""
        operator = "RMSNormalization" if norm.shift_D is None else "LayerNormalization"
        return self.add(operator, [rows, *self._norm_constants(norm)], axis=-1, epsilon=self._epsilon)

    def _norm_constants(self, norm: DecoderNorm) -> list[str]:
        scale = self.constant(f"{norm.name}.scale", norm.scale_D)
        return [scale] if norm.shift_D is None else [scale, self.constant(f"{norm.name}.shift", norm.shift_D)]

    def activate(self, rows: str) -> str:
        """Add the function of the feed-forward part, with its gate."""
        if self._is_gated:
            gate, rows = self.add_many("Split", [rows], 2, axis=2, num_outputs=2)
            return self.add("Mul", [self._activation(gate), rows])
        return self._activation(rows)

    def _activation(self, rows: str) -> str:
        match self._activation_name:
            case "gelu_new":
                return self.add("FastGelu", [rows], domain=MICROSOFT)
            case "gelu":
                return self.add("Gelu", [rows])
            case "silu":
                return self.add("Mul", [rows, self.add("Sigmoid", [rows])])
            case "relu2":
                positive = self.add("Relu", [rows])
                return self.add("Mul", [positive, positive])
        return self.add("Relu", [rows])

    def table_rows(self, name: str, table_VD: FloatArray, places: str) -> str:
        """Add the rows of a table at some places; of one in blocks as floats."""
        if not self.in_blocks("output", table_VD.shape[1]):
            return self.add("Gather", [self.constant(name, table_VD), places])
        values, _ = self._block_constants(name, table_VD)
        # The scales stand here with an axis more than products want them; the values, the larger part, are shared.
        scale = self.constant(f"{name}.row_scale", self._constants[f"{name}.scale"][..., None])
        options = {"bits": 8, "block_size": BLOCK_SIZE, "gather_axis": 0, "quantize_axis": 2}
        blocks = self.add("GatherBlockQuantized", [values, places, scale], domain=MICROSOFT, **options)
        return self.add("Reshape", [blocks, self.int64("states", [0, 0, table_VD.shape[1]])])

    def linear(self, rows: str, product: DecoderProduct) -> str:
        """Add a linear map."""
        is_by_rows = self._products == "rows" and self._is_int8 and product.name not in self._kept
        if not is_by_rows and self.in_blocks(product.name, len(product.weight_KN)):
            return self.block_product(rows, product.name, product.weight_KN.T, product.bias_N)
        if is_by_rows:
            summed = self.row_product(rows, product.name, product.weight_KN)
        else:
            summed = self.add("MatMul", [rows, self.constant(f"{product.name}.weight", product.weight_KN)])
        if product.bias_N is None:
            return summed
        return self.add("Add", [summed, self.constant(f"{product.name}.bias", product.bias_N)])

    def block_product(self, rows: str, name: str, weight_NK: FloatArray, bias_N: FloatArray | None) -> str:
        """Add a product whose weights are in blocks of 8 bits."""
        inputs = [rows, *self._block_constants(name, weight_NK)]
        if bias_N is not None:
            inputs += ["", "", self.constant(f"{name}.bias", bias_N)]
        count, width = weight_NK.shape
        options = {"K": width, "N": count, "bits": 8, "block_size": BLOCK_SIZE, "accuracy_level": ACCURACY_LEVEL}
        return self.add("MatMulNBits", inputs, domain=MICROSOFT, **options)

    def row_product(self, rows: str, name: str, weight_KN: FloatArray) -> str:
        """Add a product of integers of 8 bits: of weights by output, of inputs by row.

        Rows have scales of their own, so that a text is answered alone as in any batch. Products of blocks are about as
        fast for one row, and for many rows they are less than half as fast.
        """
        # A row of zeros is divided by 0, and whatever integers that gives are multiplied by 0 at last.
        largest = self.add("ReduceMax", [self.add("Abs", [rows]), self.int64("rows_axis", [-1])])
        step, zero = self.constant("step", np.float32(1 / TOP)), self.constant("middle", np.uint8(MIDDLE))
        whole = self.add("QuantizeLinear", [self.add("Div", [rows, largest]), step, zero])
        if f"{name}.weight" not in self._constants:
            values_KN, scale_N = quantize_weight(
                weight_KN, granularity="per-channel", clipping="max", reduce_range=True
            )
            self.constant(f"{name}.weight", values_KN)
            self.constant(f"{name}.scale", scale_N)
        inputs = [whole, f"{name}.weight", step, f"{name}.scale", zero]
        return self.add("Mul", [self.add("MatMulIntegerToFloat", inputs, domain=MICROSOFT), largest])

    def _block_constants(self, name: str, weight_NK: FloatArray) -> tuple[str, str]:
        if f"{name}.values" not in self._constants:
            blocks = quantize_blocks(weight_NK)
            self.constant(f"{name}.values", blocks.values_NKB)
            self.constant(f"{name}.scale", blocks.scale_NK)
        return f"{name}.values", f"{name}.scale"

    def in_blocks(self, name: str, width: int) -> bool:
        """Return whether weights of some width are in blocks of 8 bits."""
        return self._is_int8 and name not in self._kept and width % BLOCK_SIZE == 0

    def int64(self, name: str, values: npt.ArrayLike) -> str:
        """Add a constant of whole numbers."""
        return self.constant(name, np.array(values, np.int64))
