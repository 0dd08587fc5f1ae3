"""The ONNX graph of an encoder, written straight from its weights, in fp32 or with int8 products.

Among operators that compute the same, those are used that are fast on onnxruntime 1.32, which OpenVINO reads, too: the
standard's attention, of which onnxruntime respects the lengths since 1.25, and for layer normalization that of
instances. Inputs are lengths, not masks, and layers may differ in heads and width. What attention adds to its scores
for distances, or looks past, is made once for all layers that share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from yanmo.exporting.encoder import Distances, Encoder, Layer, Norm, Product
from yanmo.exporting.graph import FLOAT, INT32, INT64, GraphWriter
from yanmo.exporting.quantization import QuantizedProduct, QuantizedTable

__all__ = ["LAYOUT", "GraphPrecision", "Layout", "write_encoder"]

LAYOUT = "yanmo.encoder"
"""Key of the metadata from which :func:`yanmo.exporting.encoder_file.read_encoder` finds the weights again."""


class Layout(msgspec.Struct, frozen=True):
    """What of an encoder is no weight."""

    layers: list[str]
    num_heads: list[int]
    activation: str
    head_activation: str
    epsilon: float
    has_types: bool
    has_projection: bool
    pooling: str = "first"
    norms_first: bool = False
    is_gated: bool = False
    distances: list[str] = []
    """Of each layer, empty where it adds nothing for them."""
    rotary_bases: list[float] = []
    windows: list[int] = []


@dataclass(frozen=True)
class GraphPrecision:
    """Which parts are not fp32.

    Attributes:
        products: Names of products to their int8 form; the others stay fp32.
        tokens: The token embeddings' int8 form, or None.
    """

    products: Mapping[str, QuantizedProduct] = field(default_factory=dict)
    tokens: QuantizedTable | None = None


FP32 = GraphPrecision()


def write_encoder(
    encoder: Encoder,
    *,
    max_length: int,
    is_pair: bool,
    precision: GraphPrecision = FP32,
    returns_inputs: bool = False,
) -> bytes:
    """Return an ONNX file that takes ``input_ids`` (B, T), ``lengths`` (B,) and, for pairs, ``token_type_ids`` (B, T).

    One that classifies units also takes ``units`` (U,), where their first tokens are among all B * T places.

    Args:
        encoder: The weights.
        max_length: Most tokens of a text; later positions are left out.
        is_pair: Whether a text has two parts that the model tells apart; else the first part's type is built in.
        precision: What is int8.
        returns_inputs: Also return every product's input, ``<name>.input``, to calibrate on; of layers that share their
            weights, the inputs of all.

    Raises:
        ModelError: The file would be larger than ONNX allows.
    """
    writer = _EncoderWriter(encoder, precision, max_length)
    has_types = is_pair and encoder.types_SE is not None
    hidden = writer.embed(has_types=has_types)
    for number, layer in enumerate(encoder.layers, 1):
        # Nothing reads the last layer's other tokens: they are keys and values there, and no more is computed of them.
        is_first_only = number == len(encoder.layers) and encoder.pooling == "first"
        hidden = writer.layer(hidden, layer, is_first_only=is_first_only)
    writer.name_output(writer.head(hidden), "logits")
    inputs = {"input_ids": (INT32, ["batch", "length"]), "lengths": (INT32, ["batch"])}
    if has_types:
        inputs["token_type_ids"] = (INT32, ["batch", "length"])
    if encoder.pooling == "units":
        inputs["units"] = (INT32, ["units"])
    scored = "units" if encoder.pooling == "units" else "batch"
    outputs: dict[str, list[str | int]] = {"logits": [scored, encoder.num_outputs]}
    if returns_inputs:
        for name, values in writer.product_inputs.items():
            writer.name_output(writer.add("Concat", values, axis=0), f"{name}.input")
            outputs[f"{name}.input"] = ["rows", "width"]
    return writer.finish(inputs, outputs, {LAYOUT: msgspec.json.encode(_layout(encoder, has_types=has_types)).decode()})


def _layout(encoder: Encoder, *, has_types: bool) -> Layout:
    return Layout(
        [layer.name for layer in encoder.layers],
        [layer.num_heads for layer in encoder.layers],
        encoder.activation,
        encoder.head_activation,
        encoder.epsilon,
        has_types,
        encoder.projection is not None,
        encoder.pooling,
        encoder.norms_first,
        encoder.is_gated,
        [layer.distances.name if layer.distances else "" for layer in encoder.layers],
        [layer.rotary_base for layer in encoder.layers],
        [layer.window for layer in encoder.layers],
    )


class _EncoderWriter(GraphWriter):
    """Adds an encoder's parts; between them all states are rows of one matrix, shape (B * T, D).

    Where the classifier reads the first token alone, the last layer gives the states of these alone, shape (B, D).
    """

    def __init__(self, encoder: Encoder, precision: GraphPrecision, max_length: int) -> None:
        super().__init__()
        self._encoder = encoder
        self._precision = precision
        self._max_length = max_length
        self._made: dict[str, str] = {}
        self.product_inputs: dict[str, list[str]] = {}
        batch_length = self.add("Shape", ["input_ids"])
        # (B, T, -1): from rows of one matrix back to texts.
        self._shape = self.add("Concat", [batch_length, self._int64("rest", [-1])], axis=0)
        self._lengths = self.add("Cast", ["lengths"], to=INT64)

    def embed(self, *, has_types: bool) -> str:
        """Add the embeddings of tokens, places and types, normalized and projected."""
        encoder = self._encoder
        summed = self.gather("tokens", encoder.tokens_VE, "input_ids", self._precision.tokens)
        if encoder.positions_PE is not None:
            positions_PE = encoder.positions_PE[: self._max_length]
            # With one type only, every token gets the same embedding of it: it is added here, once for all texts.
            if encoder.types_SE is not None and not has_types:
                positions_PE = positions_PE + encoder.types_SE[0]
            length = self.add("Shape", ["input_ids"], start=1)
            places_TE = self.add(
                "Slice",
                [self.constant("positions", positions_PE), self._int64("first", [0]), length, self._int64("axis", [0])],
            )
            summed = self.add("Add", [summed, places_TE])
        if encoder.types_SE is not None and has_types:
            types = self.add("Gather", [self.constant("types", encoder.types_SE), "token_type_ids"])
            summed = self.add("Add", [summed, types])
        rows = self.add("Reshape", [summed, self._int64("rows_of_embeddings", [-1, encoder.tokens_VE.shape[1]])])
        normed = self._norm(rows, encoder.embedding_norm)
        return normed if encoder.projection is None else self._product(normed, encoder.projection)

    def layer(self, hidden: str, layer: Layer, *, is_first_only: bool) -> str:
        """Add attention and feed-forward, each with its sum and its normalization."""
        is_first = self._encoder.norms_first
        read = self._norm(hidden, layer.attention_norm) if is_first else hidden
        attended = self._attention(self._product(read, layer.attention_in), layer, is_first_only=is_first_only)
        if is_first_only:
            states = self.add("Reshape", [hidden, self._shape])
            hidden = self.add("Gather", [states, self.constant("first_token", np.int64(0))], axis=1)
        summed = self.add("Add", [self._product(attended, layer.attention_out), hidden])
        hidden = summed if is_first else self._norm(summed, layer.attention_norm)
        read = self._norm(hidden, layer.feed_forward_norm) if is_first else hidden
        wide = self._widen(self._product(read, layer.feed_forward_in))
        summed = self.add("Add", [self._product(wide, layer.feed_forward_out), hidden])
        return summed if is_first else self._norm(summed, layer.feed_forward_norm)

    def _widen(self, rows: str) -> str:
        """Add the activation of the feed-forward part, and its gates where it has some."""
        if not self._encoder.is_gated:
            return self._activate(rows, self._encoder.activation)
        numbers, gates = self.add_many("Split", [rows], 2, axis=1, num_outputs=2)
        return self.add("Mul", [self._activate(numbers, self._encoder.activation), gates])

    def head(self, hidden: str) -> str:
        """Add the classifier over the states of texts or units; without one these are what is returned."""
        encoder = self._encoder
        # Normalized row by row, so before the mean of rows.
        pooled = self._norm(hidden, encoder.final_norm)
        if encoder.pooling == "mean":
            pooled = self._mean(pooled)
        elif encoder.pooling == "units":
            pooled = self.add("Gather", [pooled, "units"])
        for product in encoder.head[:-1]:
            pooled = self._activate(self._product(pooled, product), encoder.head_activation)
        pooled = self._norm(pooled, encoder.head_norm)
        return self._product(pooled, encoder.head[-1]) if encoder.head else pooled

    def _mean(self, rows: str) -> str:
        """Add the mean of the tokens of each text, shape (B, D): a product with 1 at tokens and 0 at padding."""
        places_T = self._places()
        lengths_B1 = self.add("Unsqueeze", [self._lengths, self._int64("channel", [1])])
        mask_BT = self.add("Cast", [self.add("Less", [places_T, lengths_B1])], to=FLOAT)
        mask_B1T = self.add("Unsqueeze", [mask_BT, self._int64("channel", [1])])
        summed_B1D = self.add("MatMul", [mask_B1T, self.add("Reshape", [rows, self._shape])])
        summed_BD = self.add("Squeeze", [summed_B1D, self._int64("channel", [1])])
        return self.add("Div", [summed_BD, self.add("Cast", [lengths_B1], to=FLOAT)])

    def _places(self) -> str:
        """Add the numbers of the places from 0 to T - 1, shape (T,)."""
        if "places" not in self._made:
            length, zero = self.add("Shape", ["input_ids"], start=1), self.constant("zero_place", np.int64(0))
            end = self.add("Squeeze", [length, self._int64("axis", [0])])
            self._made["places"] = self.add("Range", [zero, end, self.constant("one_place", np.int64(1))])
        return self._made["places"]

    def _attention(self, rows: str, layer: Layer, *, is_first_only: bool) -> str:
        """Add what every token, or the first alone, takes from all tokens of its text."""
        width = layer.attention_out.weight_KN.shape[0]
        query, key, value = self.add_many("Split", [self.add("Reshape", [rows, self._shape])], 3, axis=2, num_outputs=3)
        if is_first_only:
            # A list of one place keeps the axis, which attention needs; the plain number below takes it away.
            query = self.add("Gather", [query, self._int64("first_tokens", [0])], axis=1)
        if layer.rotary_base:
            # The first token is turned by no angle.
            query = query if is_first_only else self._turn(query, layer)
            key = self._turn(key, layer)
        # The empty names are the keys and values of earlier calls; the seventh input are the lengths.
        mask, num_heads = self._mask(layer, is_first_only=is_first_only), layer.num_heads
        inputs = [query, key, value, mask, "", "", self._lengths]
        attended = self.add("Attention", inputs, q_num_heads=num_heads, kv_num_heads=num_heads)
        return self.add("Reshape", [attended, self._int64(f"rows_of_{width}", [-1, width])])

    def _turn(self, states_BTK: str, layer: Layer) -> str:
        """Add the turning of queries or keys by the angles of their places."""
        if "place_ids" not in self._made:
            self._made["place_ids"] = self.add("Expand", [self._places(), self.add("Shape", ["input_ids"])])
        head_width = layer.attention_out.weight_KN.shape[0] // layer.num_heads
        turns_K = layer.rotary_base ** (-np.arange(0, head_width, 2, dtype=np.float32) / np.float32(head_width))
        angles_PK = np.arange(self._max_length, dtype=np.float32)[:, None] * turns_K.astype(np.float32)
        name = f"{layer.rotary_base:g}.{head_width}"
        tables = [
            self.constant(f"cosines.{name}", np.cos(angles_PK)),
            self.constant(f"sines.{name}", np.sin(angles_PK)),
        ]
        return self.add("RotaryEmbedding", [states_BTK, *tables, self._made["place_ids"]], num_heads=layer.num_heads)

    def _mask(self, layer: Layer, *, is_first_only: bool) -> str:
        """Return what attention adds to its scores for distances, or which tokens it sees; nothing: an empty name."""
        if layer.distances is None and not layer.window:
            return ""
        asking = "first." if is_first_only else ""
        if layer.distances is not None:
            name = f"{asking}{layer.distances.name}"
            if name not in self._made:
                self._made[name] = self._add_distances(layer.distances, is_first_only=is_first_only)
            return self._made[name]
        name = f"{asking}window.{layer.window}"
        if name not in self._made:
            far = self.add("Abs", [self._behind(is_first_only=is_first_only)])
            near_11TT = self.add("LessOrEqual", [far, self.constant(f"window.{layer.window}", np.int64(layer.window))])
            self._made[name] = near_11TT
        return self._made[name]

    def _behind(self, *, is_first_only: bool) -> str:
        """Add how far each token stands behind each that asks, shape (1, 1, T, T), or (1, 1, 1, T)."""
        places_T = self._places()
        behind_111T = self.add("Unsqueeze", [places_T, self._int64("three_axes", [0, 1, 2])])
        if is_first_only:
            return behind_111T
        return self.add(
            "Sub", [behind_111T, self.add("Unsqueeze", [places_T, self._int64("rows_of_places", [0, 1, 3])])]
        )

    def _add_distances(self, distances: Distances, *, is_first_only: bool) -> str:
        """Add what every head adds to its scores, shape (1, heads, T, T), or (1, heads, 1, T)."""
        middle = distances.values_HR.shape[1] // 2
        reach = min(self._max_length - 1, middle)
        table = self.constant(distances.name, distances.values_HR[:, middle - reach : middle + reach + 1])
        behind = self.add("Squeeze", [self._behind(is_first_only=is_first_only), self._int64("two_axes", [0, 1])])
        found_HTT = self.add(
            "Gather", [table, self.add("Add", [behind, self.constant("no_distance", np.int64(reach))])], axis=1
        )
        return self.add("Unsqueeze", [found_HTT, self._int64("axis", [0])])

    def _product(self, rows: str, product: Product) -> str:
        self.product_inputs.setdefault(product.name, []).append(rows)
        quantized = self._precision.products.get(product.name)
        return self.product(rows, product.name, product.weight_KN, product.bias_N, quantized)

    def _norm(self, rows: str, norm: Norm | None) -> str:
        """Add a layer normalization: that of instances, of which each row is one with one channel, is the same."""
        if norm is None:
            return rows
        # An instance has a scale for each channel, here one; a layer has one for each number, applied afterwards.
        one, zero = self.constant("one", np.ones(1, np.float32)), self.constant("zero", np.zeros(1, np.float32))
        instances = self.add("Unsqueeze", [rows, self._int64("channel", [1])])
        normed = self.add("InstanceNormalization", [instances, one, zero], epsilon=self._encoder.epsilon)
        rows = self.add("Squeeze", [normed, self._int64("channel", [1])])
        scaled = self.add("Mul", [rows, self.constant(f"{norm.name}.scale", norm.scale_D)])
        return self.add("Add", [scaled, self.constant(f"{norm.name}.shift", norm.shift_D)])

    def _activate(self, rows: str, activation: str) -> str:
        if activation == "relu":
            return self.add("Relu", [rows])
        if activation == "tanh":
            return self.add("Tanh", [rows])
        if activation == "silu":
            return self.add("Mul", [rows, self.add("Sigmoid", [rows])])
        return self.add("Gelu", [rows], approximate="none" if activation == "gelu" else "tanh")

    def _int64(self, name: str, values: npt.ArrayLike) -> str:
        return self.constant(name, np.array(values, np.int64))
