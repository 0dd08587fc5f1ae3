"""The ONNX graph of a decoder, written straight from its weights, in fp32 or with products in 8 bits.

Keys and values stand in buffers of fixed room, which are inputs and outputs at once: a call appends to them in place.
Each row has its own length, so rows that are at different places are computed together. Scores are computed at wanted
places alone.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from yanmo.exporting.decoder import DecoderLayer, DecoderWeights
from yanmo.exporting.decoder_tensors import DecoderNorm
from yanmo.exporting.graph import FLOAT, INT32, INT64, MICROSOFT
from yanmo.exporting.language_graph import LanguageGraphWriter
from yanmo.exporting.quantization import Products

__all__ = ["write_decoder"]


def write_decoder(
    decoder: DecoderWeights, *, is_int8: bool, kept: Collection[str] = (), products: Products = "blocks"
) -> bytes:
    """Return an ONNX file that takes tokens behind those that its buffers hold, and gives the scores of the next ones.

    Its inputs are ``input_ids`` (B, T), where places have embeddings ``positions`` (B, T), ``last_places`` (B,): the
    place of each row's last token, ``total_length``: the longest row's length, ``wanted`` (W,): among all B * T tokens
    those whose scores are computed, and of every layer ``past.N.key`` and ``past.N.value``, (B, heads, room, width).

    Args:
        decoder: The weights.
        is_int8: Whether products have 8-bit weights, and the embeddings, too.
        kept: Names of products that stay fp32 all the same.
        products: Those of layers in 8 bits.

    Raises:
        ModelError: The file would be larger than ONNX allows.
    """
    writer = _DecoderWriter(decoder, is_int8=is_int8, kept=kept, products=products)
    branch, hidden = "", writer.embed()
    for place, layer in enumerate(decoder.layers):
        hidden, branch = writer.layer(place, layer, hidden, branch)
    writer.name_output(writer.scores(hidden, branch), "logits")
    inputs: dict[str, tuple[int, list[str | int]]] = {
        "input_ids": (INT64, ["batch", "length"]),
        "last_places": (INT32, ["batch"]),
        "total_length": (INT32, []),
        "wanted": (INT64, ["wanted"]),
    }
    if decoder.positions_PD is not None:
        inputs["positions"] = (INT64, ["batch", "length"])
    outputs: dict[str, list[str | int]] = {"logits": ["wanted", len(decoder.tokens_VD)]}
    buffer: list[str | int] = ["batch", decoder.num_kv_heads, "room", decoder.head_width]
    for place in range(len(decoder.layers)):
        for name in ("key", "value"):
            inputs[f"past.{place}.{name}"] = (FLOAT, buffer)
            outputs[f"present.{place}.{name}"] = buffer
    return writer.finish(inputs, outputs, {})


class _DecoderWriter(LanguageGraphWriter):
    """Adds a decoder's parts; between them states have the shape (B, T, D)."""

    def __init__(self, decoder: DecoderWeights, *, is_int8: bool, kept: Collection[str], products: Products) -> None:
        super().__init__(
            is_int8=is_int8,
            kept=kept,
            products=products,
            epsilon=decoder.epsilon,
            activation=decoder.activation,
            is_gated=decoder.is_gated,
        )
        self._decoder = decoder
        self._width = decoder.tokens_VD.shape[1]

    def embed(self) -> str:
        """Add the embeddings of tokens and places."""
        hidden = self.table_rows("tokens", self._decoder.tokens_VD, "input_ids")
        if self._decoder.positions_PD is None:
            return hidden
        places = self.add("Gather", [self.constant("places", self._decoder.positions_PD), "positions"])
        return self.add("Add", [hidden, places])

    def layer(self, place: int, layer: DecoderLayer, hidden: str, branch: str) -> tuple[str, str]:
        """Add a layer.

        Args:
            place: Its number, from 0.
            layer: Its weights.
            hidden: The states.
            branch: What the layer before adds to them: one operator adds and normalizes. Empty for the first.

        Returns:
            The states, and what is to be added to them.
        """
        normed, hidden = self.add_and_norm(hidden, branch, layer.attention_norm)
        attended = self._attention(place, layer, self.linear(normed, layer.attention_in))
        normed, hidden = self.add_and_norm(hidden, self.linear(attended, layer.attention_out), layer.feed_forward_norm)
        inner = self.activate(self.linear(normed, layer.feed_forward_in))
        return hidden, self.linear(inner, layer.feed_forward_out)

    def scores(self, hidden: str, branch: str) -> str:
        """Add the scores of the next token at the wanted places, shape (W, V)."""
        decoder = self._decoder
        # Few places are wanted of a long prompt, and the scores are the largest product of all.
        rows = [self.add("Reshape", [one, self.int64("rows", [-1, self._width])]) for one in (hidden, branch)]
        wanted = [self.add("Gather", [one, "wanted"]) for one in rows]
        normed = self.norm(self.add("Add", wanted), decoder.final_norm)
        table_VD, name = (decoder.tokens_VD, "tokens") if decoder.output_VD is None else (decoder.output_VD, "output")
        if self.in_blocks("output", self._width):
            return self.block_product(normed, name, table_VD, None)
        return self.add("Gemm", [normed, self.constant(name, table_VD)], transB=1)

    def _attention(self, place: int, layer: DecoderLayer, rows: str) -> str:
        decoder = self._decoder
        buffers = [f"past.{place}.key", f"past.{place}.value"]
        heads: list[str] = [rows, "", ""]
        if layer.query_norm is not None and layer.key_norm is not None:
            heads = self._normed_heads(rows, layer.query_norm, layer.key_norm)
        inputs = [*heads, *buffers, "last_places", "total_length"]
        if decoder.rotary_base is not None:
            inputs += self._rotations(decoder.rotary_base)
        attended, key, value = self.add_many(
            "GroupQueryAttention",
            inputs,
            3,
            domain=MICROSOFT,
            num_heads=decoder.num_heads,
            kv_num_heads=decoder.num_kv_heads,
            do_rotary=int(decoder.rotary_base is not None),
        )
        self.name_output(key, f"present.{place}.key")
        self.name_output(value, f"present.{place}.value")
        return attended

    def _normed_heads(self, rows: str, query_norm: DecoderNorm, key_norm: DecoderNorm) -> list[str]:
        """Add the normalization of each head's queries and keys; return queries, keys and values."""
        width, counts = self._decoder.head_width, (self._decoder.num_heads, *[self._decoder.num_kv_heads] * 2)
        sizes = self.int64("head_sizes", [count * width for count in counts])
        query, key, value = self.add_many("Split", [rows, sizes], 3, axis=2)
        normed = []
        for one, count, norm in ((query, counts[0], query_norm), (key, counts[1], key_norm)):
            apart = self.add("Reshape", [one, self.int64(f"{count}_heads", [0, 0, count, width])])
            together = self.int64(f"{count}_heads_together", [0, 0, count * width])
            normed.append(self.add("Reshape", [self.norm(apart, norm), together]))
        return [*normed, value]

    def _rotations(self, base: float) -> list[str]:
        """Add the cosines and sines by which queries and keys are turned at each place.

        Source: Su et al. 2021, "RoFormer", section 3.2.2, arXiv:2104.09864.
        """
        width = self._decoder.head_width
        # In float64: at far places float32 loses the angle.
        angle_TF = np.outer(np.arange(self._decoder.max_length), base ** (-np.arange(0, width, 2) / width))
        return [
            self.constant("cosines", np.cos(angle_TF).astype(np.float32)),
            self.constant("sines", np.sin(angle_TF).astype(np.float32)),
        ]
