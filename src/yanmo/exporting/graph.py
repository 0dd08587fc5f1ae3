"""A small writer of ONNX graphs: operators and constants in, one file of fixed bytes out; it knows no model.

Equal calls give equal bytes. Operators outside the standard are those of onnxruntime's own domain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray
from yanmo.errors import MissingExtraError
from yanmo.exporting.large_graphs import LEAST_APART, LargeGraph, apart_tensor, write_onnx
from yanmo.exporting.quantization import QuantizedProduct, QuantizedTable

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("export", package=error.name or "onnx", extra="train") from error

__all__ = ["FLOAT", "INT32", "INT64", "LARGEST_BYTES", "MICROSOFT", "GraphWriter", "write_weights_apart"]

# The first whose Attention takes lengths.
OPSET = 24
MICROSOFT = "com.microsoft"
# Fixed: that of the installed onnx may be newer than what engines read.
IR_VERSION = 11
LARGEST_BYTES = 2**31 - 1
"""What protobuf can hold in one file; what is larger has its weights in another one."""
FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64


class GraphWriter:
    """Collects nodes and constants; every method returns names of values."""

    def __init__(self, opset: int = OPSET) -> None:
        self._opset = opset
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, npt.NDArray[Any]] = {}

    def constant(self, name: str, value: npt.ArrayLike | npt.NDArray[Any]) -> str:
        """Add a constant; a name that is there already means the same one."""
        if name not in self._constants:
            # A copy, for the file holds the array's bytes as they lie in memory.
            self._constants[name] = np.array(value, order="C")
        return name

    def add(self, operator: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output and return the output's name."""
        return self.add_many(operator, inputs, 1, domain=domain, **attributes)[0]

    def add_many(
        self, operator: str, inputs: Sequence[str], count: int, *, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add an operator and return the names of its ``count`` outputs."""
        name = f"{operator}_{len(self._nodes)}"
        outputs = [f"{name}.{place}" for place in range(count)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs

    def copy(self, node: onnx.NodeProto) -> None:
        """Add a node of another graph as it is."""
        self._nodes.append(node)

    def product(
        self, rows: str, name: str, weight_KN: FloatArray, bias_N: FloatArray | None, quantized: QuantizedProduct | None
    ) -> str:
        """Add an affine map.

        Args:
            rows: What is multiplied, shape (..., K); two-dimensional if there is a bias and the weights are not int8.
            name: Of its constants.
            weight_KN: The weights.
            bias_N: Added to every row.
            quantized: Their int8 form, which is used instead of them.
        """
        bias = [self.constant(f"{name}.bias", bias_N)] if bias_N is not None else []
        if quantized is None:
            return self._float_product(rows, self.constant(f"{name}.weight", weight_KN), bias)
        weight = self.constant(f"{name}.weight", quantized.weight_KN)
        scale = self.constant(f"{name}.scale", quantized.scale_N)
        match quantized.kind:
            case "weight-only":
                return self._float_product(rows, self.dequantize(weight, scale), bias)
            case "dynamic":
                return self.add("DynamicQuantizeMatMul", [rows, weight, scale, "", *bias], domain=MICROSOFT)
        step = self.constant(f"{name}.input_scale", np.float32(quantized.input_scale))
        zero = self.constant(f"{name}.input_zero", np.uint8(quantized.input_zero))
        whole = self.add("QuantizeLinear", [rows, step, zero])
        return self.add("MatMulIntegerToFloat", [whole, weight, step, scale, zero, "", *bias], domain=MICROSOFT)

    def gather(self, name: str, table_VE: FloatArray, places: str, quantized: QuantizedTable | None) -> str:
        """Add the rows of a table at some places; of an int8 table as floats."""
        if quantized is None:
            return self.add("Gather", [self.constant(name, table_VE), places])
        whole = self.add("Gather", [self.constant(name, quantized.values_VE), places])
        scale = self.add("Gather", [self.constant(f"{name}.scale", quantized.scale_V1), places])
        return self.dequantize(whole, scale)

    def dequantize(self, whole: str, scale: str) -> str:
        """Add the floats of int8 values; of a constant the engine computes them once, when it loads the graph."""
        # Both are cast: scales may be float16.
        return self.add("Mul", [self.add("Cast", [one], to=FLOAT) for one in (whole, scale)])

    def _float_product(self, rows: str, weight: str, bias: list[str]) -> str:
        return self.add("Gemm", [rows, weight, *bias]) if bias else self.add("MatMul", [rows, weight])

    def missing_constants(self, names: Collection[str]) -> list[str]:
        """Return those of some names that nodes use, but that are no constants yet."""
        used = {name for node in _with_inner(self._nodes) for name in node.input}
        return [name for name in names if name in used and name not in self._constants]

    def name_output(self, value: str, name: str) -> None:
        """Give a value the name under which the graph returns it."""
        # An operator has its output's name from the beginning; engines leave the copy out.
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output.{name}"))

    def add_output(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add an operator whose output the graph returns and other operators read, too, which engines would copy."""
        self._nodes.append(helper.make_node(operator, inputs, [name], name=f"output.{name}", **attributes))
        return name

    def finish(
        self,
        inputs: Mapping[str, tuple[int, Sequence[str | int]]],
        outputs: Mapping[str, Sequence[str | int] | None],
        metadata: Mapping[str, str],
        *,
        whole: Mapping[str, Sequence[str | int]] = MappingProxyType({}),
    ) -> bytes:
        """Return the ONNX file, checked if all shapes are known.

        Args:
            inputs: Name to element type and shape; a word in a shape is a size that may vary.
            outputs: Name to shape, of floats; None where it is not known.
            metadata: Notes for whoever reads the graph again.
            whole: Name to shape of outputs that are int64.

        Returns:
            The file; a ``LargeGraph`` where the constants are more than protobuf holds.
        """
        is_large = sum(value.nbytes for value in self._constants.values()) > LARGEST_BYTES
        apart = {name: value for name, value in self._constants.items() if is_large and value.nbytes >= LEAST_APART}
        graph = helper.make_graph(
            self._nodes,
            "yanmo",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [
                *(helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()),
                *(helper.make_tensor_value_info(name, INT64, shape) for name, shape in whole.items()),
            ],
            [
                apart_tensor(name, value) if name in apart else numpy_helper.from_array(value, name)
                for name, value in self._constants.items()
            ],
        )
        opsets = [helper.make_opsetid("", self._opset), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="yanmo")
        helper.set_model_props(model, dict(metadata))
        if None not in outputs.values() and not apart:  # the checker wants every shape, and every number
            onnx.checker.check_model(model)
        # Maps of protobuf have no order of their own.
        content = bytes(model.SerializeToString(deterministic=True))
        return LargeGraph(content, apart) if apart else content


def write_weights_apart(content: bytes, path: Path) -> None:
    """Write an ONNX file whose weights stand in a file of their own beside it, ``<name>.data``.

    onnxruntime maps that file into memory, and holds each weight there once and not three times while it loads.

    Args:
        content: The ONNX file as a whole.
        path: Where it appears.
    """
    if isinstance(content, LargeGraph):
        write_onnx(content, path)
        return
    model = onnx.load_from_string(content)
    place = path.with_suffix(".data")
    # It would be appended to.
    place.unlink(missing_ok=True)
    onnx.save_model(model, str(path), save_as_external_data=True, location=place.name, size_threshold=LEAST_APART)


def _with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes and those of their inner graphs, which may use constants of the outer one."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _with_inner(inner.node)
