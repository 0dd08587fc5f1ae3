"""int8 graphs of two kinds of models behind one protocol: written encoders and traced graphs.

A quantizer knows the parts that can be int8 and builds the graph with any of them left in fp32. It knows neither a
Dataset nor how much accuracy may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx
from onnx import helper

from yanmo.arrays import FloatArray
from yanmo.exporting.encoder import Encoder
from yanmo.exporting.encoder_graph import GraphPrecision, write_encoder
from yanmo.exporting.graph import FLOAT, GraphWriter
from yanmo.exporting.large_graphs import read_constants
from yanmo.exporting.quantization import (
    ActivationRange,
    Clipping,
    Granularity,
    Kind,
    QuantizedProduct,
    activation_scale,
    quantize_rows,
    quantize_table,
    quantize_weight,
)

__all__ = ["EncoderQuantizer", "Options", "Quantizer", "TracedQuantizer"]

TOKENS = "tokens"
LEAST_WEIGHTS = 1024
"""Smaller constants of traced graphs stay fp32: nothing is gained."""
WEIGHT_INPUTS = {"Conv": (1,), "LSTM": (1, 2), "GRU": (1, 2)}
"""Operators whose weights are stored as int8 and computed in fp32; plain convolutions only where products are."""
BIAS_INPUTS = {"LSTM": 3, "GRU": 3}
"""Operators whose bias, two numbers a cell, is stored as float16 beside such weights."""


@dataclass(frozen=True)
class Options:
    """How weights and activations become eight bits."""

    kind: Kind
    granularity: Granularity
    clipping: Clipping
    reduce_range: bool
    embeddings: bool


class Quantizer(Protocol):
    """A model that can be built with any of its parts in int8."""

    @property
    def names(self) -> list[str]:
        """The parts that can be int8, in the order in which they run."""
        ...

    def watched(self) -> bytes:
        """Return the fp32 graph that also returns what goes into every product, as ``<name>.input``."""
        ...

    def calibrate(self, ranges: Mapping[str, ActivationRange]) -> None:
        """Set what the inputs of every product were seen to be; only static products need it."""
        ...

    def build(self, kept: Collection[str] = ()) -> bytes:
        """Return the int8 graph with some parts kept in fp32."""
        ...


class EncoderQuantizer:
    """The Quantizer of an encoder."""

    def __init__(self, encoder: Encoder, options: Options, *, max_length: int, is_pair: bool) -> None:
        self._encoder = encoder
        self._options = options
        self._write: Callable[..., bytes] = lambda **more: write_encoder(
            encoder, max_length=max_length, is_pair=is_pair, **more
        )
        # Its few weights would save nothing.
        classifiers = [one.name for one in encoder.head[-1:]]
        self._products = {
            one.name: _quantized(one.weight_KN, options) for one in encoder.products() if one.name not in classifiers
        }
        self._tokens = quantize_table(encoder.tokens_VE, clipping=options.clipping) if options.embeddings else None

    @property
    def names(self) -> list[str]:
        """The parts that can be int8, in the order in which they run; the classifier's few weights stay fp32."""
        return [*([TOKENS] if self._tokens else []), *self._products]

    def watched(self) -> bytes:
        """Return the fp32 graph that also returns what goes into every product."""
        return self._write(returns_inputs=True)

    def calibrate(self, ranges: Mapping[str, ActivationRange]) -> None:
        """Set the input scale of every product."""
        self._products = {name: _calibrated(one, ranges[name]) for name, one in self._products.items()}

    def build(self, kept: Collection[str] = ()) -> bytes:
        """Return the int8 graph with some parts kept in fp32."""
        products = {name: one for name, one in self._products.items() if name not in kept}
        return self._write(precision=GraphPrecision(products, None if TOKENS in kept else self._tokens))


class TracedQuantizer:
    """The Quantizer of a traced graph: products, convolutions over tokens, embeddings, and the weights of LSTMs."""

    def __init__(self, content: bytes, options: Options) -> None:
        self._options = options
        self._model = onnx.load_model_from_string(content)
        for place, node in enumerate(self._model.graph.node):
            # Parts are kept in fp32 by their names, which exporters may leave out.
            node.name = node.name or f"{node.op_type}_{place}"
        self._constants = read_constants(self._model, content)
        self._products = {
            node.name: _quantized(self._weight_KN(node), options)
            for node in self._model.graph.node
            if self._is_product(node) or (options.kind != "weight-only" and self._is_plain_convolution(node))
        }
        self._tables = {
            node.name: quantize_table(self._constants[node.input[0]], clipping=options.clipping)
            for node in self._model.graph.node
            if options.embeddings and self._is_table(node)
        }

    @property
    def names(self) -> list[str]:
        """The nodes that can be int8, in the order in which they run."""
        parts = {*self._products, *self._tables}
        return [one.name for one in self._model.graph.node if one.name in parts or self._stored(one)]

    def watched(self) -> bytes:
        """Return the fp32 graph that also returns what goes into every product."""
        writer = self._writer()
        for node in self._model.graph.node:
            writer.copy(node)
        watched = {
            f"{node.name}.input": node.input[0] for node in self._model.graph.node if node.name in self._products
        }
        for name, value in watched.items():
            writer.name_output(value, name)
        return self._finish(writer, watched)

    def calibrate(self, ranges: Mapping[str, ActivationRange]) -> None:
        """Set the input scale of every product."""
        self._products = {name: _calibrated(one, ranges[name]) for name, one in self._products.items()}

    def build(self, kept: Collection[str] = ()) -> bytes:
        """Return the int8 graph with some parts kept in fp32."""
        writer = self._writer()
        for node in self._model.graph.node:
            if node.name in kept:
                writer.copy(node)
            elif node.name in self._products:
                writer.name_output(self._add_product(writer, node), node.output[0])
            elif node.name in self._tables:
                table = self._tables[node.name]
                found = writer.gather(f"{node.name}.table", self._constants[node.input[0]], node.input[1], table)
                writer.name_output(found, node.output[0])
            else:
                writer.copy(self._with_stored(writer, node))
        return self._finish(writer, ())

    def _writer(self) -> GraphWriter:
        return GraphWriter({one.domain: one.version for one in self._model.opset_import}[""])

    def _finish(self, writer: GraphWriter, watched: Iterable[str]) -> bytes:
        for name in writer.missing_constants(self._constants):
            writer.constant(name, self._constants[name])
        inputs = {one.name: (one.type.tensor_type.elem_type, _shape(one)) for one in self._model.graph.input}
        outputs = {one.name: _shape(one) for one in self._model.graph.output}
        return writer.finish(inputs, {**outputs, **dict.fromkeys(watched)}, {})

    def _add_product(self, writer: GraphWriter, node: onnx.NodeProto) -> str:
        bias_N = self._constants[node.input[2]] if len(node.input) > 2 else None
        is_convolution = node.op_type == "Conv"
        rows = self._add_windows(writer, node) if is_convolution else node.input[0]
        product = writer.product(rows, node.name, self._weight_KN(node), bias_N, self._products[node.name])
        return writer.add("Transpose", [product], perm=[0, 2, 1]) if is_convolution else product

    def _add_windows(self, writer: GraphWriter, node: onnx.NodeProto) -> str:
        """Return the rows that a convolution over x_BDT is a product of: its windows' values, shape (B, windows, K)."""
        # A slice for each place in a window, side by side: row i then holds the values of places i to i + size - 1.
        rows_BTD = writer.add("Transpose", [node.input[0]], perm=[0, 2, 1])
        size = self._constants[node.input[1]].shape[2]
        axis = writer.constant("windows.axis", np.array([1]))
        shifted = []
        for place in range(size):
            begin = writer.constant(f"windows.from_{place}", np.array([place]))
            left_out = size - 1 - place
            # Where nothing is left out the end would be -0, which is the beginning; the largest number means the end.
            end = writer.constant(f"windows.but_{left_out}", np.array([-left_out or np.iinfo(np.int64).max]))
            shifted.append(writer.add("Slice", [rows_BTD, begin, end, axis]))
        return writer.add("Concat", shifted, axis=2)

    def _with_stored(self, writer: GraphWriter, node: onnx.NodeProto) -> onnx.NodeProto:
        """Return the node with its large weights replaced by int8 ones that are made floats again."""
        # A copy: the traced graph is built from again, with other parts kept.
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for place in self._stored(node):
            name = node.input[place]
            values, scale = quantize_rows(self._constants[name], channel=0 if node.op_type == "Conv" else 1)
            copy.input[place] = writer.dequantize(
                writer.constant(f"{name}.int8", values), writer.constant(f"{name}.scale", scale)
            )
        place = BIAS_INPUTS.get(node.op_type, len(node.input))
        if place < len(node.input) and self._is_large(node.input[place]):
            name = node.input[place]
            half = writer.constant(f"{name}.half", self._constants[name].astype(np.float16))
            copy.input[place] = writer.add("Cast", [half], to=FLOAT)
        return copy

    def _stored(self, node: onnx.NodeProto) -> list[int]:
        return [place for place in WEIGHT_INPUTS.get(node.op_type, ()) if self._is_large(node.input[place])]

    def _is_product(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in ("MatMul", "Gemm") or not self._is_large(node.input[1]):
            return False
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        is_plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0 and not attributes.get(
            "transA", 0
        )
        has_bias = len(node.input) < 3 or node.input[2] in self._constants
        return is_plain and has_bias and self._constants[node.input[1]].ndim == 2

    def _is_plain_convolution(self, node: onnx.NodeProto) -> bool:
        """Return whether a node has one window at each place of its single axis, and constant weights."""
        if node.op_type != "Conv" or not self._is_large(node.input[1]) or self._constants[node.input[1]].ndim != 3:
            return False
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        steps = [*attributes.get("strides", ()), *attributes.get("dilations", ()), attributes.get("group", 1)]
        is_padded = any(attributes.get("pads", ())) or attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
        has_bias = len(node.input) < 3 or node.input[2] in self._constants
        return set(steps) == {1} and not is_padded and has_bias

    def _is_table(self, node: onnx.NodeProto) -> bool:
        is_by_row = node.op_type == "Gather" and not any(one.name == "axis" and one.i for one in node.attribute)
        return is_by_row and self._is_large(node.input[0]) and self._constants[node.input[0]].ndim == 2

    def _is_large(self, name: str) -> bool:
        found = self._constants.get(name)
        return found is not None and found.dtype == np.float32 and found.size >= LEAST_WEIGHTS

    def _weight_KN(self, node: onnx.NodeProto) -> FloatArray:
        weight = self._constants[node.input[1]]
        if node.op_type == "Conv":
            # From (outputs, channels, places) to the order in which _add_windows lays windows out: place by place.
            return np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, weight.shape[0]))
        is_transposed = any(one.name == "transB" and one.i for one in node.attribute)
        return np.ascontiguousarray(weight.T) if is_transposed else weight


def _quantized(weight_KN: FloatArray, options: Options) -> QuantizedProduct:
    values_KN, scale_N = quantize_weight(
        weight_KN, granularity=options.granularity, clipping=options.clipping, reduce_range=options.reduce_range
    )
    return QuantizedProduct(options.kind, values_KN, scale_N)


def _calibrated(product: QuantizedProduct, seen: ActivationRange) -> QuantizedProduct:
    scale, zero = activation_scale(seen)
    return QuantizedProduct(product.kind, product.weight_KN, product.scale_N, scale, zero)


def _shape(value: onnx.ValueInfoProto) -> list[str | int]:
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
