"""A language model as one GGUF file, which llama.cpp and Ollama read, and back; it knows no Bundle and no verb.

GPT-2, and the shapes of Llama, Qwen2, Qwen3 and Arcee. Names and orders are those of llama.cpp; queries and keys of
Llama's and Arcee's rotation stand in pairs there, where transformers has halves.

Source: the GGUF format, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.exporting.decoder import DecoderLayer, DecoderWeights
from yanmo.exporting.decoder_tensors import DecoderNorm, DecoderProduct
from yanmo.exporting.gguf_tokens import GgufTokens

__all__ = ["GGUF_FAMILIES", "WeightType", "read_gguf", "write_gguf"]

WeightType: TypeAlias = Literal["f32", "f16", "q8_0"]
GGUF_FAMILIES: Mapping[str, str] = {
    "gpt2": "gpt2",
    "llama": "llama",
    "arcee": "arcee",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}
"""What ``config.json`` calls a family, to what llama.cpp calls it."""
PAIRED = ("llama", "arcee")
"""Families whose rotation turns neighbors in llama.cpp, and halves in transformers."""
FINAL = "output_norm"
KEPT_WHOLE = ("position_embd.weight",)
"""llama.cpp adds these as they are."""


@dataclass(frozen=True)
class _Names:
    """What llama.cpp calls the parts of one layer."""

    layer: int

    def __call__(self, part: str) -> str:
        return f"blk.{self.layer}.{part}"


def write_gguf(
    path: Path, decoder: DecoderWeights, tokens: GgufTokens, *, family: str, name: str, weight_type: WeightType
) -> None:
    """Write the file.

    Args:
        path: Where.
        decoder: The weights.
        tokens: Its tokenizer.
        family: One of :data:`GGUF_FAMILIES`.
        name: Of the model.
        weight_type: How matrices are kept: 32 or 16 bits, or 8 in blocks of 32; norms and biases have 32.
    """
    import gguf

    writer = gguf.GGUFWriter(path, GGUF_FAMILIES[family])
    writer.add_name(name)
    _write_sizes(writer, decoder)
    _write_tokens(writer, tokens)
    kind = {"f32": gguf.GGMLQuantizationType.F32, "f16": gguf.GGMLQuantizationType.F16}.get(
        weight_type, gguf.GGMLQuantizationType.Q8_0
    )
    for label, array in _tensors(decoder, is_paired=family in PAIRED):
        kept = _kind_of(label, array, kind, gguf.GGMLQuantizationType)
        data = gguf.quants.quantize(np.ascontiguousarray(array, np.float32), kept)
        writer.add_tensor(label, data, raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path: Path, like: DecoderWeights, *, family: str) -> DecoderWeights:
    """Return the weights that a file holds.

    Args:
        path: The file.
        like: What it was written from: its sizes, and which parts there are.
        family: One of :data:`GGUF_FAMILIES`.

    Raises:
        KeyError: A tensor is missing.
    """
    import gguf

    found = {
        one.name: np.asarray(gguf.quants.dequantize(one.data, one.tensor_type), np.float32).reshape(
            [int(size) for size in reversed(one.shape.tolist())]
        )
        for one in gguf.GGUFReader(path).tensors
    }
    return _Rebuilder(found, like, is_paired=family in PAIRED).decoder()


def _kind_of(name: str, array: FloatArray, kind: Any, kinds: Any) -> Any:
    if array.ndim < 2 or name in KEPT_WHOLE:
        return kinds.F32
    # Rows that are no whole blocks stay in 16 bits.
    return kinds.F16 if kind == kinds.Q8_0 and array.shape[1] % 32 else kind


def _write_sizes(writer: Any, decoder: DecoderWeights) -> None:
    writer.add_context_length(decoder.max_length)
    writer.add_embedding_length(decoder.tokens_VD.shape[1])
    writer.add_block_count(len(decoder.layers))
    inner = decoder.layers[0].feed_forward_out.weight_KN.shape[0]
    writer.add_feed_forward_length(inner)
    writer.add_head_count(decoder.num_heads)
    writer.add_head_count_kv(decoder.num_kv_heads)
    writer.add_vocab_size(len(decoder.tokens_VD))
    if decoder.rotary_base is None:
        writer.add_layer_norm_eps(decoder.epsilon)
        return
    writer.add_layer_norm_rms_eps(decoder.epsilon)
    writer.add_rope_freq_base(decoder.rotary_base)
    writer.add_rope_dimension_count(decoder.head_width)
    writer.add_key_length(decoder.head_width)
    writer.add_value_length(decoder.head_width)


def _write_tokens(writer: Any, tokens: GgufTokens) -> None:
    writer.add_tokenizer_model(tokens.model)
    writer.add_tokenizer_pre(tokens.splitting)
    writer.add_token_list(tokens.texts)
    writer.add_token_types(tokens.types)
    if tokens.scores:
        writer.add_token_scores(tokens.scores)
    if tokens.merges:
        writer.add_token_merges(tokens.merges)
    # Texts begin behind the mark that the model has learned from.
    writer.add_bos_token_id(tokens.begin_id)
    writer.add_eos_token_id(tokens.end_id)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)


def _tensors(decoder: DecoderWeights, *, is_paired: bool) -> Iterator[tuple[str, FloatArray]]:
    """Yield every tensor under llama.cpp's name; matrices are (outputs, inputs)."""
    yield "token_embd.weight", decoder.tokens_VD
    if decoder.positions_PD is not None:
        yield "position_embd.weight", decoder.positions_PD
    yield from _norm(FINAL, decoder.final_norm)
    if decoder.output_VD is not None:
        yield "output.weight", decoder.output_VD
    for place, layer in enumerate(decoder.layers):
        yield from _layer(decoder, layer, _Names(place), is_paired=is_paired)


def _layer(
    decoder: DecoderWeights, layer: DecoderLayer, name: _Names, *, is_paired: bool
) -> Iterator[tuple[str, FloatArray]]:
    yield from _norm(name("attn_norm"), layer.attention_norm)
    if decoder.rotary_base is None:
        yield from _product(name("attn_qkv"), layer.attention_in)
    else:
        widths = [one * decoder.head_width for one in _heads(decoder)]
        for part, product, heads in zip("qkv", _split(layer.attention_in, widths), _heads(decoder), strict=True):
            is_turned = is_paired and part != "v"
            yield from _product(name(f"attn_{part}"), _paired(product, heads) if is_turned else product)
    for part, norm in (("attn_q_norm", layer.query_norm), ("attn_k_norm", layer.key_norm)):
        if norm is not None:
            yield from _norm(name(part), norm)
    yield from _product(name("attn_output"), layer.attention_out)
    yield from _norm(name("ffn_norm"), layer.feed_forward_norm)
    inner = layer.feed_forward_out.weight_KN.shape[0]
    parts = ("ffn_gate", "ffn_up") if decoder.is_gated else ("ffn_up",)
    for part, product in zip(parts, _split(layer.feed_forward_in, [inner] * len(parts)), strict=True):
        yield from _product(name(part), product)
    yield from _product(name("ffn_down"), layer.feed_forward_out)


def _heads(decoder: DecoderWeights) -> tuple[int, int, int]:
    return decoder.num_heads, decoder.num_kv_heads, decoder.num_kv_heads


def _split(product: DecoderProduct, widths: list[int]) -> list[DecoderProduct]:
    ends = np.cumsum(widths)[:-1]
    weights = np.split(product.weight_KN, ends, axis=1)
    biases = [None] * len(widths) if product.bias_N is None else np.split(product.bias_N, ends)
    return [DecoderProduct(product.name, weight, bias) for weight, bias in zip(weights, biases, strict=True)]


def _paired(product: DecoderProduct, num_heads: int) -> DecoderProduct:
    order = _pairs(product.weight_KN.shape[1], num_heads)
    bias = None if product.bias_N is None else product.bias_N[order]
    return DecoderProduct(product.name, product.weight_KN[:, order], bias)


def _pairs(width: int, num_heads: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return where each output of halves stands among those in pairs."""
    return np.arange(width).reshape(num_heads, 2, -1).swapaxes(1, 2).reshape(-1)


def _product(name: str, product: DecoderProduct) -> Iterator[tuple[str, FloatArray]]:
    yield f"{name}.weight", product.weight_KN.T
    if product.bias_N is not None:
        yield f"{name}.bias", product.bias_N


def _norm(name: str, norm: DecoderNorm) -> Iterator[tuple[str, FloatArray]]:
    yield f"{name}.weight", norm.scale_D
    if norm.shift_D is not None:
        yield f"{name}.bias", norm.shift_D


class _Rebuilder:
    """Tensors by llama.cpp's names, in the shapes of a decoder."""

    def __init__(self, found: Mapping[str, FloatArray], like: DecoderWeights, *, is_paired: bool) -> None:
        self._found, self._like, self._is_paired = found, like, is_paired

    def decoder(self) -> DecoderWeights:
        like, found = self._like, self._found
        return DecoderWeights(
            found["token_embd.weight"],
            None if like.positions_PD is None else found["position_embd.weight"],
            tuple(self._layer(layer, _Names(place)) for place, layer in enumerate(like.layers)),
            self._norm(FINAL, like.final_norm),
            None if like.output_VD is None else found["output.weight"],
            like.num_heads,
            like.num_kv_heads,
            like.head_width,
            like.activation,
            like.is_gated,
            like.epsilon,
            like.rotary_base,
            like.max_length,
        )

    def _layer(self, like: DecoderLayer, name: _Names) -> DecoderLayer:
        whole = self._like.rotary_base is None
        attention = [name("attn_qkv")] if whole else [name(f"attn_{part}") for part in "qkv"]
        inner = [name("ffn_gate"), name("ffn_up")] if self._like.is_gated else [name("ffn_up")]
        return DecoderLayer(
            like.name,
            self._norm(name("attn_norm"), like.attention_norm),
            self._product(like.attention_in, *attention),
            None if like.query_norm is None else self._norm(name("attn_q_norm"), like.query_norm),
            None if like.key_norm is None else self._norm(name("attn_k_norm"), like.key_norm),
            self._product(like.attention_out, name("attn_output")),
            self._norm(name("ffn_norm"), like.feed_forward_norm),
            self._product(like.feed_forward_in, *inner),
            self._product(like.feed_forward_out, name("ffn_down")),
        )

    def _product(self, like: DecoderProduct, *names: str) -> DecoderProduct:
        weights = [self._turned(name, self._found[f"{name}.weight"]) for name in names]
        biases = [] if like.bias_N is None else [self._turned(name, self._found[f"{name}.bias"]) for name in names]
        weight_KN = np.ascontiguousarray(np.concatenate(weights).T)
        return DecoderProduct(like.name, weight_KN, np.concatenate(biases) if biases else None)

    def _turned(self, name: str, array: FloatArray) -> FloatArray:
        """Return the rows of queries and keys in halves again."""
        heads = {"attn_q": self._like.num_heads, "attn_k": self._like.num_kv_heads}.get(name.rpartition(".")[2])
        if not self._is_paired or heads is None:
            return array
        return array[np.argsort(_pairs(len(array), heads))]

    def _norm(self, name: str, like: DecoderNorm) -> DecoderNorm:
        shift = None if like.shift_D is None else self._found[f"{name}.bias"]
        return DecoderNorm(like.name, self._found[f"{name}.weight"], shift)
