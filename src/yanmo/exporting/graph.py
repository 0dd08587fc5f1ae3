"""A small writer of ONNX graphs: operators and constants in, one file of fixed bytes out; it knows no model.

Equal calls give equal bytes. Operators outside the standard are those of onnxruntime's own domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.errors import MissingExtraError, ModelError

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("export", package=error.name or "onnx", extra="train") from error

__all__ = ["FLOAT", "INT32", "LARGEST_BYTES", "MICROSOFT", "GraphWriter"]

OPSET = 20
MICROSOFT = "com.microsoft"
IR_VERSION = 10
LARGEST_BYTES = 2**31 - 1
"""What protobuf can hold in one file."""
FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32


class GraphWriter:
    """Collects nodes and constants; every method returns names of values."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, npt.NDArray[Any]] = {}

    def constant(self, name: str, value: npt.ArrayLike | npt.NDArray[Any]) -> str:
        """Add a constant; a name that is there already means the same one."""
        if name not in self._constants:
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

    def name_output(self, value: str, name: str) -> None:
        """Give a value the name under which the graph returns it."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output.{name}"))

    def finish(
        self,
        inputs: Mapping[str, tuple[int, Sequence[str | int]]],
        outputs: Mapping[str, Sequence[str | int]],
        metadata: Mapping[str, str],
    ) -> bytes:
        """Return the checked ONNX file.

        Args:
            inputs: Name to element type and shape; a word in a shape is a size that may vary.
            outputs: Name to shape, of floats.
            metadata: Notes for whoever reads the graph again.

        Raises:
            ModelError: The file would be larger than protobuf allows.
        """
        num_bytes = sum(value.nbytes for value in self._constants.values())
        if num_bytes > LARGEST_BYTES:
            raise ModelError(
                f"The weights take {num_bytes / 1e9:.1f} GB; one ONNX file holds at most {LARGEST_BYTES / 1e9:.1f} GB.",
                hint="Serve the torch Bundle, or distill it into a smaller model first.",
            )
        graph = helper.make_graph(
            self._nodes,
            "yanmo",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
            [numpy_helper.from_array(value, name) for name, value in self._constants.items()],
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="yanmo")
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
