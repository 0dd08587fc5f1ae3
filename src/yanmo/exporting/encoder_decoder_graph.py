"""The ONNX graphs of a network that reads one text and writes another: one that reads, and one step that writes.

Both are written straight from the weights, in fp32 or with products in 8 bits. What is written looks at what
was read through keys and values that the first graph gives once; those of what is written stand in buffers of fixed
room, which are inputs and outputs at once. Several beginnings of one text share what was read of it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.exporting.decoder_tensors import DecoderNorm
from yanmo.exporting.graph import FLOAT, INT32, INT64, MICROSOFT, write_weights_apart
from yanmo.exporting.language_graph import LanguageGraphWriter
from yanmo.exporting.writing_layers import (
    CrossAttention,
    EncoderDecoderWeights,
    LearnedPlaces,
    PlaceDistances,
    WritingLayer,
)

__all__ = ["AnsweringGraphs", "write_answering"]


class AnsweringGraphs(NamedTuple):
    """Two ONNX files.

    Attributes:
        reading: The one that reads texts.
        writing: The one that writes a token of each answer.
    """

    reading: bytes
    writing: bytes

    def save(self, reading: Path, writing: Path) -> None:
        """Write both, over files that may be there."""
        reading.parent.mkdir(parents=True, exist_ok=True)
        write_weights_apart(self.reading, reading)
        write_weights_apart(self.writing, writing)


def write_answering(network: EncoderDecoderWeights, *, is_int8: bool, kept: Collection[str] = ()) -> AnsweringGraphs:
    """Return the two ONNX files of a network.

    Args:
        network: The weights.
        is_int8: Whether products have 8-bit weights, and the embeddings, too.
        kept: Names of products that stay fp32 all the same.

    Raises:
        ModelError: A file would be larger than ONNX allows.
    """
    return AnsweringGraphs(
        _write_reading(_ReadingWriter(network, is_int8=is_int8, kept=kept), network),
        _write_writing(_WritingWriter(network, is_int8=is_int8, kept=kept), network),
    )


def _write_reading(writer: _ReadingWriter, network: EncoderDecoderWeights) -> bytes:
    """Return an ONNX file that reads texts.

    Its inputs are ``input_ids`` (B, S) and ``lengths`` (B,), its outputs of every layer that writes ``cross.N.key`` and
    ``cross.N.value``, (B, heads, S, width).
    """
    branch, hidden = "", writer.embeddings(network.reading_places)
    for layer in network.reading:
        hidden, branch = writer.layer(layer, hidden, branch)
    normed, _ = writer.add_and_norm(hidden, branch, network.reading_norm)
    outputs: dict[str, list[str | int]] = {}
    for place, layer in enumerate(network.writing):
        if layer.cross is not None:
            for name, product in (("key", layer.cross.keys), ("value", layer.cross.values)):
                writer.name_output(writer.heads(writer.linear(normed, product)), f"cross.{place}.{name}")
                outputs[f"cross.{place}.{name}"] = ["batch", network.num_heads, "length", network.head_width]
    inputs: dict[str, tuple[int, list[str | int]]] = {
        "input_ids": (INT64, ["batch", "length"]),
        "lengths": (INT32, ["batch"]),
    }
    return writer.finish(inputs, outputs, {})


def _write_writing(writer: _WritingWriter, network: EncoderDecoderWeights) -> bytes:
    """Return an ONNX file that takes tokens behind those that its buffers hold, and tells how likely the next ones are.

    Its inputs are ``input_ids`` (R, T), ``last_places`` (R,): the place of each row's last token, ``total_length``:
    tokens with the new ones, ``lengths`` (B,): of what was read, of every layer ``past.N.key`` and ``past.N.value``,
    (R, heads, room, width), and what the other graph gives. R is a multiple of B: rows of one text stand together.
    Besides the buffers it gives ``log_likelihoods`` (R, T, V) and, ``num_best`` of them, ``best.values`` and
    ``best.ids``.
    """
    branch, hidden = "", writer.embeddings(network.writing_places)
    for place, layer in enumerate(network.writing):
        hidden, branch = writer.layer(place, layer, hidden, branch)
    normed, _ = writer.add_and_norm(hidden, branch, network.writing_norm)
    writer.scores(normed)
    vocabulary = len(network.tokens_VD if network.output_VD is None else network.output_VD)
    inputs: dict[str, tuple[int, list[str | int]]] = {
        "input_ids": (INT64, ["rows", "written"]),
        "last_places": (INT32, ["rows"]),
        "total_length": (INT32, []),
        "lengths": (INT32, ["batch"]),
        "num_best": (INT64, [1]),
    }
    outputs: dict[str, list[str | int]] = {
        "log_likelihoods": ["rows", "written", vocabulary],
        "best.values": ["rows", "written", "best"],
    }
    buffer: list[str | int] = ["rows", network.num_heads, "room", network.head_width]
    for place in range(len(network.writing)):
        for name in ("key", "value"):
            inputs[f"past.{place}.{name}"] = (FLOAT, buffer)
            inputs[f"cross.{place}.{name}"] = (FLOAT, ["batch", network.num_heads, "length", network.head_width])
            outputs[f"present.{place}.{name}"] = buffer
    return writer.finish(inputs, outputs, {}, whole={"best.ids": ["rows", "written", "best"]})


class _SideWriter(LanguageGraphWriter):
    """Adds what both sides have; between layers states have the shape (B, T, D)."""

    _places_T: str
    """The places of the tokens."""

    def __init__(self, network: EncoderDecoderWeights, *, is_int8: bool, kept: Collection[str]) -> None:
        super().__init__(
            is_int8=is_int8,
            kept=kept,
            products="rows",
            epsilon=network.epsilon,
            activation=network.activation,
            is_gated=network.is_gated,
        )
        self._network = network
        self._attention_options: dict[str, Any] = {"domain": MICROSOFT, "num_heads": network.num_heads, "scale": 1.0}

    def add_and_norm(self, hidden: str, branch: str, norm: DecoderNorm) -> tuple[str, str]:
        """Add what is added to the states and the normalization of the sum; return that, and what goes on."""
        normed, summed = super().add_and_norm(hidden, branch, norm)
        return normed, normed if self._network.adds_to_normed else summed

    def embeddings(self, places: PlaceDistances | LearnedPlaces) -> str:
        """Add the states before the first layer."""
        network = self._network
        rows = self.table_rows("tokens", network.tokens_VD, "input_ids")
        if network.embedding_scale != 1:
            rows = self.add("Mul", [rows, self.constant("embedding_scale", np.float32(network.embedding_scale))])
        if isinstance(places, PlaceDistances):
            return rows
        return self.add("Add", [rows, self.add("Gather", [self.constant("places", places.table_PD), self._places_T])])

    def heads(self, rows: str) -> str:
        """Add the heads of some states, shape (B, heads, T, width)."""
        apart = self.int64("heads", [0, 0, self._network.num_heads, self._network.head_width])
        return self.add("Transpose", [self.add("Reshape", [rows, apart])], perm=[0, 2, 1, 3])

    def feed_forward(self, layer: WritingLayer, normed: str) -> str:
        """Add what a layer adds to its states at last."""
        return self.linear(self.activate(self.linear(normed, layer.feed_forward_in)), layer.feed_forward_out)

    def distances(self, places: PlaceDistances | LearnedPlaces, places_TS: str, least: int) -> str:
        """Add what heads add for how far tokens are from each other, shape (1, heads, T, S); "" where that is nothing.

        Args:
            places: Of every distance from the least on.
            places_TS: The distances.
            least: The first of the table.
        """
        if not isinstance(places, PlaceDistances):
            return ""
        table_HP = places.table_HP
        bounds = [self.constant(name, np.int64(one)) for name, one in self._bounds(table_HP, least)]
        row = self.add("Sub", [self.add("Clip", [places_TS, *bounds]), bounds[0]])
        table = self.constant("distances", table_HP)
        return self.add("Unsqueeze", [self.add("Gather", [table, row], axis=1), self.int64("one_axis", [0])])

    def _bounds(self, table_HP: FloatArray, least: int) -> tuple[tuple[str, int], tuple[str, int]]:
        return ("least_distance", least), ("most_distance", least + table_HP.shape[1] - 1)

    def places(self, start: str, stop: str) -> str:
        """Add the numbers from one on to another."""
        return self.add("Range", [start, stop, self.constant("one", np.int64(1))])

    def differences(self, looked_S: str, looking_T: str) -> str:
        """Add how far the places that are looked at are behind those that look, shape (T, S)."""
        columns = self.add("Unsqueeze", [looking_T, self.int64("last_axis", [1])])
        return self.add("Sub", [looked_S, columns])


class _ReadingWriter(_SideWriter):
    def __init__(self, network: EncoderDecoderWeights, *, is_int8: bool, kept: Collection[str]) -> None:
        super().__init__(network, is_int8=is_int8, kept=kept)
        length = self.add("Squeeze", [self.add("Shape", ["input_ids"], start=1), self.int64("one_axis", [0])])
        self._places_T = self.places(self.constant("zero", np.int64(0)), length)
        places = network.reading_places
        least = -(places.table_HP.shape[1] // 2) if isinstance(places, PlaceDistances) else 0
        self._bias = self.distances(places, self.differences(self._places_T, self._places_T), least)

    def layer(self, layer: WritingLayer, hidden: str, branch: str) -> tuple[str, str]:
        """Add a layer; return the states, and what is to be added to them."""
        normed, hidden = self.add_and_norm(hidden, branch, layer.attention_norm)
        parts = self.add_many("Split", [self.linear(normed, layer.attention_in)], 3, axis=2, num_outputs=3)
        inputs = [*parts, "", "lengths", self._bias]
        attended = self.add("MultiHeadAttention", inputs, **self._attention_options)
        normed, hidden = self.add_and_norm(hidden, self.linear(attended, layer.attention_out), layer.feed_forward_norm)
        return hidden, self.feed_forward(layer, normed)


class _WritingWriter(_SideWriter):
    def __init__(self, network: EncoderDecoderWeights, *, is_int8: bool, kept: Collection[str]) -> None:
        super().__init__(network, is_int8=is_int8, kept=kept)
        stop = self.add("Cast", ["total_length"], to=INT64)
        count = self.add("Squeeze", [self.add("Shape", ["input_ids"], start=1), self.int64("one_axis", [0])])
        looked_S = self.places(self.constant("zero", np.int64(0)), stop)
        self._places_T = self.places(self.add("Sub", [stop, count]), stop)
        # Nothing looks to the right, so distances are counted the other way round.
        apart = self.add("Neg", [self.differences(looked_S, self._places_T)])
        self._bias = self.distances(network.writing_places, apart, 0)
        num_texts = self.add("Shape", ["lengths"])
        inner = network.num_heads * network.head_width
        self._by_text = self.add("Concat", [num_texts, self.int64("rest", [-1, inner])], axis=0)
        self._by_row = self.add("Concat", [self.add("Shape", ["input_ids"]), self.int64("inner", [inner])], axis=0)

    def layer(self, place: int, layer: WritingLayer, hidden: str, branch: str) -> tuple[str, str]:
        """Add a layer; return the states, and what is to be added to them."""
        normed, hidden = self.add_and_norm(hidden, branch, layer.attention_norm)
        attended = self._own_attention(place, self.linear(normed, layer.attention_in))
        branch = self.linear(attended, layer.attention_out)
        if layer.cross is not None:
            normed, hidden = self.add_and_norm(hidden, branch, layer.cross.norm)
            branch = self._cross_attention(place, layer.cross, normed)
        normed, hidden = self.add_and_norm(hidden, branch, layer.feed_forward_norm)
        return hidden, self.feed_forward(layer, normed)

    def scores(self, normed: str) -> None:
        """Add how likely each token is next, and the most likely ones."""
        network = self._network
        name, table_VD = ("tokens", network.tokens_VD) if network.output_VD is None else ("output", network.output_VD)
        if self.in_blocks("output", table_VD.shape[1]):
            logits = self.row_product(normed, "scores", table_VD.T)
        else:
            # Turned here: the engine would otherwise turn the table at every step.
            logits = self.add("MatMul", [normed, self.constant(f"{name}.turned", table_VD.T)])
        if network.output_bias_V is not None:
            logits = self.add("Add", [logits, self.constant("output_bias", network.output_bias_V)])
        likelihoods = self.add_output("LogSoftmax", [logits], "log_likelihoods", axis=-1)
        values, ids = self.add_many("TopK", [likelihoods, "num_best"], 2, axis=-1)
        self.name_output(values, "best.values")
        self.name_output(ids, "best.ids")

    def _own_attention(self, place: int, rows: str) -> str:
        buffers = [f"past.{place}.key", f"past.{place}.value"]
        inputs = [rows, "", "", *buffers, "last_places", "total_length", "", "", "", self._bias]
        options = {**self._attention_options, "kv_num_heads": self._network.num_heads, "do_rotary": 0}
        attended, key, value = self.add_many("GroupQueryAttention", inputs, 3, **options)
        self.name_output(key, f"present.{place}.key")
        self.name_output(value, f"present.{place}.value")
        return attended

    def _cross_attention(self, place: int, cross: CrossAttention, normed: str) -> str:
        """Add what is taken from the text that was read, once for all rows of it."""
        queries = self.add("Reshape", [self.linear(normed, cross.queries), self._by_text])
        inputs = [queries, f"cross.{place}.key", f"cross.{place}.value", "", "lengths"]
        attended = self.add("MultiHeadAttention", inputs, **self._attention_options)
        return self.linear(self.add("Reshape", [attended, self._by_row]), cross.out)
