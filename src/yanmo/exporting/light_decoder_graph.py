"""The ONNX graph of a language model without attention, with the inputs and outputs of a decoder's graph.

What has to be kept of a place, such as the state of an LSTM behind it, stands in a buffer at that place, as keys and
values of attention do. So a row can be gone on with from any of its places, which is what prompts in chunks, shared
beginnings, beams and guessed tokens need; whoever runs the graph need not know what the buffers hold.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from onnx import GraphProto, NodeProto, helper

from yanmo.exporting.graph import FLOAT, INT32, INT64
from yanmo.exporting.language_graph import LanguageGraphWriter
from yanmo.exporting.light_decoder import GatedConvolution, LightDecoder, LstmLayer

__all__ = ["write_light_decoder"]


def write_light_decoder(decoder: LightDecoder, *, is_int8: bool, kept: Collection[str] = ()) -> bytes:
    """Return an ONNX file that takes tokens behind those that its buffers hold, and gives the scores of the next ones.

    Its inputs are those of ``decoder_graph.write_decoder``, but the buffers: ``past.N.state`` of each layer, shape (B,
    1, room, width).

    Args:
        decoder: The weights.
        is_int8: Whether products have 8-bit weights, and the embeddings, too.
        kept: Names of products that stay fp32 all the same.

    Raises:
        ModelError: The file would be larger than ONNX allows.
    """
    writer = _LightWriter(decoder, is_int8=is_int8, kept=kept)
    hidden = writer.table_rows("tokens", decoder.tokens_VD, "input_ids")
    for place, layer in enumerate(decoder.layers):
        hidden = (
            writer.lstm(place, layer, hidden) if isinstance(layer, LstmLayer) else writer.gated(place, layer, hidden)
        )
    writer.name_output(writer.scores(hidden), "logits")
    inputs: dict[str, tuple[int, list[str | int]]] = {
        "input_ids": (INT64, ["batch", "length"]),
        "last_places": (INT32, ["batch"]),
        "total_length": (INT32, []),
        "wanted": (INT64, ["wanted"]),
    }
    outputs: dict[str, list[str | int]] = {"logits": ["wanted", len(decoder.tokens_VD)]}
    for place, layer in enumerate(decoder.layers):
        buffer: list[str | int] = ["batch", 1, "room", layer.width]
        inputs[f"past.{place}.state"] = (FLOAT, buffer)
        outputs[f"present.{place}.state"] = buffer
    return writer.finish(inputs, outputs, {})


class _LightWriter(LanguageGraphWriter):
    """Adds a network's parts; between them states have the shape (B, T, D)."""

    def __init__(self, decoder: LightDecoder, *, is_int8: bool, kept: Collection[str]) -> None:
        super().__init__(is_int8=is_int8, kept=kept, epsilon=decoder.epsilon, activation="", is_gated=False)
        self._decoder = decoder
        self._width = decoder.tokens_VD.shape[1]
        self._length = self.add("Shape", ["input_ids"], start=1)
        rows = self.add("Shape", ["input_ids"], start=0, end=1)
        zero, one = self.int64("zero", 0), self.int64("one", 1)
        number = self.add("Squeeze", [rows, self.int64("axis", [0])])
        self._rows_B1 = self.add("Unsqueeze", [self.add("Range", [zero, number, one]), self.int64("last_axis", [1])])
        last_B1 = self.add("Unsqueeze", [self.add("Cast", ["last_places"], to=INT64), self.int64("last_axis", [1])])
        # Where each row's first new token stands.
        self._first_B1 = self.add("Add", [self.add("Sub", [last_B1, self._length]), one])
        steps = self.add("Range", [zero, self.add("Squeeze", [self._length, self.int64("axis", [0])]), one])
        self._new_BT3 = self._places(self.add("Add", [self._first_B1, steps]))

    def lstm(self, place: int, layer: LstmLayer, hidden: str) -> str:
        """Add an LSTM, which begins with what the buffer holds of the place before the first new token."""
        width = layer.width // 2
        before_B1D = self._remembered(place, self.add("Sub", [self._first_B1, self.int64("one", 1)]))
        before_BD = self.add("Squeeze", [before_B1D, self.int64("last_axis", [1])])
        state, cell = self.add_many("Split", [before_BD], 2, axis=1, num_outputs=2)
        gates_TBD = self.add("Transpose", [self.linear(hidden, layer.entering)], perm=[1, 0, 2])
        _, _, told_TBD = self.add_many("Scan", [state, cell, gates_TBD], 3, body=self._step(layer), num_scan_inputs=1)
        told_BTD = self.add("Transpose", [told_TBD], perm=[1, 0, 2])
        self._remember(place, told_BTD)
        return self.add(
            "Slice",
            [told_BTD, self.int64("axis", [0]), self.int64("state_end", [width]), self.int64("states_axis", [2])],
        )

    def gated(self, place: int, layer: GatedConvolution, hidden: str) -> str:
        """Add a gated convolution over the new places and those before them that the buffer holds."""
        width = layer.width
        kernel = layer.convolution.weight_KN.shape[0] // width
        normed = self.norm(hidden, layer.norm)
        steps = self.int64("steps_before", np.arange(1 - kernel, 0))
        read = self.add("Concat", [self._remembered(place, self.add("Add", [self._first_B1, steps])), normed], axis=1)
        shifted = []
        for first in range(kernel):
            start = self.int64(f"from.{first}", [first])
            end = self.add("Add", [start, self._length])
            shifted.append(self.add("Slice", [read, start, end, self.int64("last_axis", [1])]))
        self._remember(place, normed)
        together = self.linear(self.add("Concat", shifted, axis=2), layer.convolution)
        numbers, gates = self.add_many("Split", [together], 2, axis=2, num_outputs=2)
        return self.add("Add", [hidden, self.add("Mul", [numbers, self.add("Sigmoid", [gates])])])

    def scores(self, hidden: str) -> str:
        """Add the scores of the next token at the wanted places, shape (W, V)."""
        decoder = self._decoder
        rows = self.add("Reshape", [hidden, self.int64("rows", [-1, self._width])])
        wanted = self.add("Gather", [rows, "wanted"])
        normed = wanted if decoder.final_norm is None else self.norm(wanted, decoder.final_norm)
        if self.in_blocks("output", self._width):
            return self.block_product(normed, "tokens", decoder.tokens_VD, decoder.bias_V)
        tokens = self.constant("tokens", decoder.tokens_VD)
        return self.add("Gemm", [normed, tokens, self.constant("output.bias", decoder.bias_V)], transB=1)

    def _step(self, layer: LstmLayer) -> GraphProto:
        """Return the graph of one step of an LSTM: from state, cell and gates to those, and both to be kept."""
        outer, self._nodes, name = self._nodes, [], layer.name
        summed = self.add("Add", [self.linear(f"{name}.state", layer.recurrent), f"{name}.gates"])
        entering, forgetting, fresh, showing = self.add_many("Split", [summed], 4, axis=1, num_outputs=4)
        kept = self.add("Mul", [self.add("Sigmoid", [forgetting]), f"{name}.cell"])
        added = self.add("Mul", [self.add("Sigmoid", [entering]), self.add("Tanh", [fresh])])
        cell = self.add("Add", [kept, added])
        state = self.add("Mul", [self.add("Sigmoid", [showing]), self.add("Tanh", [cell])])
        both = self.add("Concat", [state, cell], axis=1)
        nodes, self._nodes = self._nodes, outer
        width = layer.width // 2
        shapes = {"state": width, "cell": width, "gates": 4 * width}
        return helper.make_graph(
            _renamed(nodes, name),
            name,
            [helper.make_tensor_value_info(f"{name}.{one}", FLOAT, ["batch", size]) for one, size in shapes.items()],
            [
                helper.make_tensor_value_info(f"{name}.{one}", FLOAT, ["batch", size])
                for one, size in ((state, width), (cell, width), (both, 2 * width))
            ],
        )

    def _remembered(self, place: int, places_BP: str) -> str:
        """Add what the buffer holds of some places of each row, shape (B, P, D); zeros before the first one."""
        zero = self.int64("zero", 0)
        held = self.add("GatherND", [f"past.{place}.state", self._places(self.add("Max", [places_BP, zero]))])
        is_there = self.add(
            "Unsqueeze", [self.add("GreaterOrEqual", [places_BP, zero]), self.int64("states_axis", [2])]
        )
        # Not by a product: what stands in a buffer that was never written to may be no number.
        return self.add("Where", [is_there, held, self.constant("nothing", np.float32(0))])

    def _remember(self, place: int, states_BTD: str) -> None:
        """Add what puts states into the buffer, at the places of the new tokens."""
        written = self.add("ScatterND", [f"past.{place}.state", self._new_BT3, states_BTD])
        self.name_output(written, f"present.{place}.state")

    def _places(self, places_BP: str) -> str:
        """Add where places of each row stand in a buffer, shape (B, P, 3): row, 0, place."""
        apart = self.add("Unsqueeze", [places_BP, self.int64("states_axis", [2])])
        zeros = self.add("Mul", [apart, self.int64("zero", 0)])
        rows = self.add("Add", [zeros, self.add("Unsqueeze", [self._rows_B1, self.int64("states_axis", [2])])])
        return self.add("Concat", [rows, zeros, apart], axis=2)


def _renamed(nodes: list[NodeProto], name: str) -> list[NodeProto]:
    """Return nodes of an inner graph whose values have names of their own in the whole file."""
    made = {output for node in nodes for output in node.output}
    for node in nodes:
        node.name = f"{name}.{node.name}"
        for names in (node.input, node.output):
            names[:] = [f"{name}.{one}" if one in made else one for one in names]
    return nodes
