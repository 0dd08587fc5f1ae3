"""ONNX files whose weights are more than protobuf holds in one: a second file beside them, ``<name>.data``, has these.

Until it is written such a file is bytes like any other, with its weights beside them in memory. It knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from yanmo.arrays import Array
from yanmo.errors import MissingExtraError

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingExtraError("export", package=error.name or "onnx", extra="train") from error

__all__ = ["LEAST_APART", "LargeGraph", "apart_tensor", "read_constants", "read_onnx", "remove_onnx", "write_onnx"]

LEAST_APART = 1024
"""Smaller weights stay in the graph's own file: shapes and places, which engines look at before they load any."""
SUFFIX = ".data"


class LargeGraph(bytes):
    """An ONNX file without its large weights, and these.

    Attributes:
        weights: Name to array.
    """

    weights: Mapping[str, Array]

    def __new__(cls, content: bytes, weights: Mapping[str, Array]) -> Self:
        """Return the file."""
        made = super().__new__(cls, content)
        made.weights = weights
        return made


def apart_tensor(name: str, value: Array) -> onnx.TensorProto:
    """Return the constant of a graph whose numbers stand elsewhere."""
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    return TensorProto(name=name, dims=value.shape, data_type=kind, data_location=TensorProto.EXTERNAL)


def write_onnx(content: bytes, path: Path) -> None:
    """Write an ONNX file; the weights of one that is too large beside it."""
    place = path.with_suffix(SUFFIX)
    place.unlink(missing_ok=True)
    if not isinstance(content, LargeGraph):
        path.write_bytes(content)
        return
    model = onnx.load_model_from_string(content)
    with place.open("wb") as file:
        for tensor in model.graph.initializer:
            if tensor.data_location != TensorProto.EXTERNAL:
                continue
            value = np.ascontiguousarray(content.weights[tensor.name])
            where = {"location": place.name, "offset": str(file.tell()), "length": str(value.nbytes)}
            tensor.ClearField("external_data")
            for key, said in where.items():
                tensor.external_data.add(key=key, value=said)
            file.write(value.data)
    path.write_bytes(model.SerializeToString(deterministic=True))


def read_onnx(path: Path) -> bytes:
    """Return what :func:`write_onnx` has written."""
    content = path.read_bytes()
    if not path.with_suffix(SUFFIX).is_file():
        return content
    constants = onnx.load_model_from_string(content).graph.initializer
    apart = [one for one in constants if one.data_location == TensorProto.EXTERNAL]
    return LargeGraph(content, {one.name: numpy_helper.to_array(one, str(path.parent)) for one in apart})


def remove_onnx(path: Path) -> None:
    """Remove an ONNX file and, where it has some, its weights."""
    path.unlink()
    path.with_suffix(SUFFIX).unlink(missing_ok=True)


def read_constants(model: onnx.ModelProto, content: bytes) -> dict[str, Array]:
    """Return all constants of a graph by name.

    Args:
        model: The graph.
        content: The file that it was read from.
    """
    apart = content.weights if isinstance(content, LargeGraph) else {}
    return {
        one.name: apart[one.name] if one.name in apart else numpy_helper.to_array(one)
        for one in model.graph.initializer
    }
