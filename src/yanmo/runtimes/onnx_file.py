"""What an ONNX file holds, looked at before any engine loads it: inputs, outputs, operators, and where weights are.

Only the few fields that matter are declared here; protobuf passes over all others. It knows no engine's loading.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from onnxruntime.capi import onnxruntime_pybind11_state as state

from yanmo.errors import ArtifactError

__all__ = ["check_onnx"]

DOMAINS = ("", "ai.onnx", "com.microsoft")
OUTPUT = "logits"
# Numbers of labels and types in protobuf's own descriptors. The package onnx is not asked: a service does without it.
REPEATED, OPTIONAL = 3, 1
INT32, STRING, MESSAGE = 5, 9, 11
MESSAGES: dict[str, dict[str, tuple[int, int | str, int]]] = {
    "Model": {"graph": (7, "Graph", OPTIONAL), "functions": (25, "Function", REPEATED)},
    "Function": {"name": (1, STRING, OPTIONAL)},
    "Graph": {
        "node": (1, "Node", REPEATED),
        "initializer": (5, "Tensor", REPEATED),
        "input": (11, "Value", REPEATED),
        "output": (12, "Value", REPEATED),
        "sparse_initializer": (15, "Sparse", REPEATED),
    },
    "Sparse": {"values": (1, "Tensor", OPTIONAL), "indices": (2, "Tensor", OPTIONAL)},
    "Node": {
        "op_type": (4, STRING, OPTIONAL),
        "domain": (7, STRING, OPTIONAL),
        "attribute": (5, "Attribute", REPEATED),
    },
    "Attribute": {
        "t": (5, "Tensor", OPTIONAL),
        "g": (6, "Graph", OPTIONAL),
        "tensors": (10, "Tensor", REPEATED),
        "sparse_tensor": (22, "Sparse", OPTIONAL),
        "sparse_tensors": (23, "Sparse", REPEATED),
        "graphs": (11, "Graph", REPEATED),
    },
    "Tensor": {
        "name": (8, STRING, OPTIONAL),
        "external_data": (13, "Entry", REPEATED),
        "data_location": (14, INT32, OPTIONAL),
    },
    "Entry": {"key": (1, STRING, OPTIONAL), "value": (2, STRING, OPTIONAL)},
    "Value": {"name": (1, STRING, OPTIONAL)},
}
"""Message to field to number, type and label, from the definition of ONNX."""


def check_onnx(path: Path, declared: Sequence[str]) -> None:
    """Refuse a file that an engine should not load.

    Args:
        path: The ONNX file.
        declared: The inputs that its Bundle declares, in order.

    Raises:
        ArtifactError: The file is missing or damaged, takes or gives something else, has weights elsewhere, defines
            operators, or has one that onnxruntime does not know.
    """
    model = _read(path)
    graph = model.graph
    constants = {one.name for one in graph.initializer}
    # Files of old versions list their constants among the inputs.
    found = [one.name for one in graph.input if one.name not in constants]
    if found != list(declared):
        raise ArtifactError(
            f"{path} takes {', '.join(found) or 'nothing'}, but onnx.json declares {', '.join(declared)}.",
            hint="Export the Bundle again.",
        )
    given = [one.name for one in graph.output]
    if given != [OUTPUT]:
        raise ArtifactError(
            f"{path} must give {OUTPUT}. Got {', '.join(given) or 'nothing'} instead.", hint="Export the Bundle again."
        )
    if model.functions:
        raise ArtifactError(
            f"{path} defines the operator '{model.functions[0].name}' itself, which a Bundle must not.",
            hint="Export the Bundle again.",
        )
    known = _known_operators()
    for inner in _graphs(graph):
        for tensor in _tensors(inner):
            # Any file of this machine could be named there; that of a Bundle's own has one name, and its digest.
            if tensor.data_location and _places_of(tensor) != {path.with_suffix(".data").name}:
                raise ArtifactError(
                    f"{path} keeps the weight '{tensor.name}' in another file, which a Bundle must not.",
                    hint="Export the Bundle again.",
                )
        for node in inner.node:
            if node.domain not in DOMAINS or node.op_type not in known:
                name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
                raise ArtifactError(
                    f"{path} has the unknown operator {name}.",
                    hint="Export the Bundle again with this version, or upgrade onnxruntime.",
                )


def _places_of(tensor: Any) -> set[str]:
    """Return the files that a tensor's numbers are said to be in: one, in a file that means well."""
    return {one.value for one in tensor.external_data if one.key == "location"}


def _read(path: Path) -> Any:
    model = _model_class()()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, message.DecodeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Export the Bundle again.") from error
    return model


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and all graphs inside of it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                yield from _graphs(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    sparse = list(graph.sparse_initializer)
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            sparse += (attribute.sparse_tensor, *attribute.sparse_tensors)
    for one in sparse:
        yield from (one.values, one.indices)


@functools.cache
def _known_operators() -> frozenset[str]:
    return frozenset(schema.name for schema in state.get_all_operator_schema() if schema.domain in DOMAINS)


@functools.cache
def _model_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="yanmo/onnx.proto", package="yanmo", syntax="proto2")
    for message_name, fields in MESSAGES.items():
        described = file.message_type.add(name=message_name)
        for field_name, (number, kind, label) in fields.items():
            field = described.field.add(name=field_name, number=number, label=label)
            field.type = MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                field.type_name = f".yanmo.{kind}"
    # A pool of its own: in the default one the names could meet those of another package.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("yanmo.Model"))
