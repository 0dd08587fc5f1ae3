"""The ONNX graph of a network, traced by torch and freed of everything that differs from run to run.

It knows arrays of token ids and a function that scores them; it knows no Bundle, no tokenizer and no family of models.

Of torch's two exporters this uses the tracing one. Measured with torch 2.13 on BERT, RoBERTa, ALBERT, ELECTRA,
DistilBERT, GPT-2, T5, TextCnn and BiLstm, both give the same probabilities, but the tracing one is 10 to 30 times as
fast, keeps an LSTM as one operator, takes T5 as it is, and writes no paths of this machine into the file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from yanmo.arrays import IntArray
from yanmo.errors import MissingExtraError, ModelError
from yanmo.exporting.large_graphs import LargeGraph, apart_tensor

try:
    import onnx
    import torch
    from torch import Tensor, nn
    from torch.jit._trace import TracerWarning
except ImportError as error:
    raise MissingExtraError("export", package=error.name or "onnx", extra="train") from error

__all__ = ["OPSET", "trace_graph"]

OPSET = 18
LARGEST_BYTES = 2**31 - 1
"""What protobuf can hold in one file; what is larger has its weights in another one."""

GraphScore = Callable[[dict[str, Tensor]], Tensor]


class _Positional(nn.Module):
    """The network with its inputs by position, as the tracer wants them."""

    def __init__(self, module: nn.Module, score: GraphScore, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self._score = score
        self._names = tuple(names)

    def forward(self, *inputs_BT: Tensor) -> Tensor:
        return self._score(dict(zip(self._names, inputs_BT, strict=True)))


def trace_graph(module: nn.Module, score: GraphScore, example: Mapping[str, IntArray]) -> bytes:
    """Return an ONNX file that takes any batch of any length; equal weights give equal bytes.

    Args:
        module: The network, on the CPU.
        score: From the network's inputs by name to logits_BC; it must use ``module``.
        example: The inputs by name, in the graph's order: int64, shape (B, T), at least two rows, one of them padded;
            of a network that labels units also ``units``, shape (U,), of which there are as many logits.

    Raises:
        ModelError: The network has no ONNX form.
    """
    # Of a network that protobuf could not hold the weights become inputs first, and constants elsewhere then.
    is_large = sum(one.numel() * one.element_size() for one in module.parameters()) > LARGEST_BYTES
    positional = _Positional(module, score, list(example)).eval()
    names = list(example)
    axes = {name: {0: "batch", 1: "length"} for name in names} | {"logits": {0: "batch"}}
    if "units" in names:
        axes |= {"units": {0: "units"}, "logits": {0: "units"}}
    file = io.BytesIO()
    try:
        with torch.no_grad(), _without_exporter_notes():
            torch.onnx.export(
                # Dropout would be traced into the graph.
                positional,
                tuple(torch.from_numpy(array) for array in example.values()),
                file,  # type: ignore[arg-type]
                input_names=names,
                output_names=["logits"],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
                export_params=not is_large,
                # What is folded of such inputs would become inputs, too.
                do_constant_folding=not is_large,
            )
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{type(module).__name__} has no ONNX form: {reason}", hint="Serve the torch Bundle as it is."
        ) from error
    tensors = {**dict(positional.named_parameters()), **dict(positional.named_buffers())} if is_large else {}
    return _canonical(file.getvalue(), tensors)


def _canonical(content: bytes, tensors: Mapping[str, Tensor]) -> bytes:
    """Return the file without notes about where it came from, in one fixed order of bytes.

    Args:
        content: As the exporter wrote it.
        tensors: Those that stand among its inputs and become constants in another file.
    """
    model = onnx.load_model_from_string(content)
    apart = {one.name: tensors[one.name].detach().numpy() for one in model.graph.input if one.name in tensors}
    model.graph.initializer.extend(apart_tensor(name, value) for name, value in apart.items())
    given = [one for one in model.graph.input if one.name not in apart]
    model.graph.ClearField("input")
    model.graph.input.extend(given)
    for part in (model, model.graph):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for node in _nodes(model.graph):
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    _shorten(model.graph)
    if not apart:
        onnx.checker.check_model(model)
    plain = bytes(model.SerializeToString(deterministic=True))
    return LargeGraph(plain, apart) if apart else plain


def _shorten(graph: onnx.GraphProto) -> None:
    """Number the values between nodes: the exporter's names, made of paths of modules, are the most of a small file."""
    graph.ClearField("value_info")
    fixed = {one.name for one in graph.output}
    # Inputs, outputs and constants keep their names: callers and Bundles know them.
    made = [name for node in _nodes(graph) for name in node.output if name and name not in fixed]
    short = {name: f"v{place}" for place, name in enumerate(dict.fromkeys(made))}
    for node in _nodes(graph):
        for names in (node.input, node.output):
            names[:] = [short.get(name, name) for name in names]
        for inner in _inner(node):
            inner.ClearField("value_info")
            for value in (*inner.input, *inner.output):
                value.name = short.get(value.name, value.name)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes, those of inner graphs too."""
    for node in graph.node:
        yield node
        for inner in _inner(node):
            yield from _nodes(inner)


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ()))


@contextmanager
def _without_exporter_notes() -> Iterator[None]:
    """Hold back the exporter's notes on deprecation and on values it takes as constant; the parity check judges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.onnx")
        warnings.filterwarnings("ignore", message=r".*(opset|ONNX|onnx|LSTM)", category=UserWarning)
        yield
