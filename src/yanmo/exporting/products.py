"""The matrix products of an ONNX graph: how many operations they are, and how fast this machine does one plain product.

It knows operators and shapes of weights; it knows no Bundle and runs no model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from yanmo.errors import MissingExtraError

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("Counting the operations of a model", package="onnx", extra="train") from error

__all__ = ["Operations", "count_operations", "measure_peak"]

WEIGHTS = {
    "MatMul": (1,),
    "Gemm": (1,),
    "FusedMatMul": (1,),
    "MatMulInteger": (1,),
    "MatMulIntegerToFloat": (1,),
    "DynamicQuantizeMatMul": (1,),
    "QLinearMatMul": (3,),
    "QGemm": (3,),
    "Attention": (1,),
    "QAttention": (1,),
    "Conv": (1,),
    "LSTM": (1, 2),
    "DynamicQuantizeLSTM": (1, 2),
}
"""Which inputs of an operator are weights that every token meets."""
PASSING = {"DequantizeLinear", "Transpose", "Cast", "Identity", "Reshape", "Mul"}
"""What may stand between a weight and its product; Mul makes floats of it, which are computed with."""
INTEGERS = {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4}
CHOICES = {"Gather", "GatherND", "ReduceMax"}
# A base model's first feed-forward product over 2,048 tokens.
PEAK_SIZES = (2048, 768, 3072)


@dataclass(frozen=True)
class Operations:
    """The multiplications and additions of products with weights.

    Attributes:
        per_token: Done for every token.
        per_text: Done once a text: what stands behind the choice of one token, or behind the largest of all.
        precision: ``int8`` if most of the products have integer weights, else ``fp32``.
    """

    per_token: int
    per_text: int
    precision: str

    def of_text(self, num_tokens: float) -> float:
        """Return the operations of a text with so many tokens."""
        return self.per_token * num_tokens + self.per_text


def count_operations(path: Path) -> Operations:
    """Return the operations of a graph: two for each weight of a product; products of two activations are left out."""
    graph = onnx.load_model(path, load_external_data=False).graph
    initializers = {one.name: one for one in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    once = _behind_a_choice(graph, initializers, makers)
    counts = {"token": 0, "text": 0, "int8": 0, "fp32": 0}
    for node in graph.node:
        for size, is_integer in _weights(node, initializers, makers):
            counts["text" if set(node.output) & once else "token"] += 2 * size
            counts["int8" if is_integer else "fp32"] += 2 * size
    return Operations(counts["token"], counts["text"], "int8" if counts["int8"] > counts["fp32"] else "fp32")


def _weights(
    node: onnx.NodeProto, initializers: dict[str, TensorProto], makers: dict[str, onnx.NodeProto]
) -> Iterator[tuple[int, bool]]:
    """Yield the size of each weight of a product, and whether it is of integers."""
    if node.op_type == "MatMulNBits":
        sizes = {one.name: one.i for one in node.attribute}
        yield sizes["K"] * sizes["N"], True
        return
    for place in WEIGHTS.get(node.op_type, ()):
        name, is_float = node.input[place] if place < len(node.input) else "", False
        while name not in initializers and name in makers and makers[name].op_type in PASSING:
            is_float = is_float or makers[name].op_type == "Mul"
            name = makers[name].input[0]
        if name in initializers:
            yield math.prod(initializers[name].dims), initializers[name].data_type in INTEGERS and not is_float


def _behind_a_choice(
    graph: onnx.GraphProto, initializers: dict[str, TensorProto], makers: dict[str, onnx.NodeProto]
) -> set[str]:
    """Return the values with one row a text: all that is made of chosen hidden states or of a maximum over them."""
    hidden: set[str] = set()
    once: set[str] = set()
    for node in graph.node:
        # Sizes of hidden states are no states.
        if node.op_type == "Shape":
            continue
        inputs = set(node.input)
        if inputs & once or (node.op_type in CHOICES and node.input[0] in hidden):
            once.update(node.output)
        elif inputs & hidden or any(_weights(node, initializers, makers)):
            hidden.update(node.output)
    return once


def measure_peak(precision: str, num_threads: int, *, seconds: float = 1.5) -> float:
    """Return the operations per second of the best of several plain products in onnxruntime.

    Args:
        precision: ``int8``: unsigned by signed bytes into int32; or ``fp32``.
        num_threads: Threads that share the product.
        seconds: How long products are tried, after a warm-up.
    """
    session, feed = _product(precision, num_threads)
    for _ in range(3):
        session.run(None, feed)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        start = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - start)
    # The shortest time: whatever else runs can only make a product slower.
    return 2 * math.prod(PEAK_SIZES) / min(times)


def _product(
    precision: str, num_threads: int
) -> tuple[onnxruntime.InferenceSession, dict[str, npt.NDArray[np.generic]]]:
    """Return a session of one product whose right side is constant, as a model's weights are, and its input."""
    rows, inner, columns = PEAK_SIZES
    generator = np.random.default_rng(0)
    left: npt.NDArray[np.generic]
    if precision == "int8":
        left = generator.integers(0, 256, (rows, inner), dtype=np.uint8)
        # Seven bits, as this package's Bundles have them: eight can overflow on older processors.
        right = generator.integers(-64, 64, (inner, columns), dtype=np.int8)
        operator, kinds = "MatMulInteger", (TensorProto.UINT8, TensorProto.INT32)
    else:
        left = generator.random((rows, inner), dtype=np.float32)
        right = generator.random((inner, columns), dtype=np.float32)  # type: ignore[assignment]
        operator, kinds = "MatMul", (TensorProto.FLOAT, TensorProto.FLOAT)
    graph = helper.make_graph(
        [helper.make_node(operator, ["left", "right"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", kinds[0], (rows, inner))],
        [helper.make_tensor_value_info("product", kinds[1], (rows, columns))],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session, {"left": left}
