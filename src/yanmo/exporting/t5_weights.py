"""The weights of T5 and mT5 by their names in a Hugging Face folder; it knows neither torch nor ONNX operators.

Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1 (T5); Shazeer 2020, arXiv:2002.05202 (T5 1.1); Xue et al.
2021, arXiv:2010.11934 (mT5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from yanmo.arrays import IntArray
from yanmo.exporting.decoder_tensors import DecoderTensors
from yanmo.exporting.writing_layers import CrossAttention, EncoderDecoderWeights, PlaceDistances, WritingLayer

__all__ = ["read_t5", "t5_activation"]


def read_t5(weights: DecoderTensors, config: Mapping[str, Any]) -> EncoderDecoderWeights:
    """Return a network of the families t5 and mt5.

    Args:
        weights: By name.
        config: The folder's ``config.json``.

    Raises:
        KeyError: A weight or a setting is missing.
    """
    activation, is_gated = t5_activation(config)
    tokens_VD, output_VD = weights["shared.weight"], weights.get("lm_head.weight")
    writing_norm = weights.norm("writing_norm", "decoder.final_layer_norm")
    # T5 1.0 makes the last states smaller before its scores; the norm before them can do that, too. mT5 never does.
    is_scaled = config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True))
    if is_scaled and config["model_type"] == "t5":
        scale = np.float32(config["d_model"] ** -0.5)
        writing_norm = replace(writing_norm, scale_D=writing_norm.scale_D * scale)
    layers = config["num_layers"], config.get("num_decoder_layers") or config["num_layers"]
    reading, writing = (
        tuple(_read_layer(weights, side, place, is_gated=is_gated) for place in range(count))
        for side, count in zip(("encoder", "decoder"), layers, strict=True)
    )
    farthest = config.get("relative_attention_max_distance", 128)
    tables = [
        weights[f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        for side in ("encoder", "decoder")
    ]
    both_ways = _buckets(np.arange(-farthest, farthest + 1), len(tables[0]), farthest, is_two_sided=True)
    to_left = _buckets(-np.arange(farthest + 1), len(tables[1]), farthest, is_two_sided=False)
    return EncoderDecoderWeights(
        tokens_VD=tokens_VD,
        reading=reading,
        reading_norm=weights.norm("reading_norm", "encoder.final_layer_norm"),
        reading_places=PlaceDistances(np.ascontiguousarray(tables[0][both_ways].T)),
        writing=writing,
        writing_norm=writing_norm,
        writing_places=PlaceDistances(np.ascontiguousarray(tables[1][to_left].T)),
        output_VD=None if output_VD is None or np.array_equal(output_VD, tokens_VD) else output_VD,
        num_heads=config["num_heads"],
        head_width=config["d_kv"],
        activation=activation,
        is_gated=is_gated,
        epsilon=float(config.get("layer_norm_epsilon", 1e-6)),
    )


def _read_layer(weights: DecoderTensors, side: str, place: int, *, is_gated: bool) -> WritingLayer:
    name, source = f"{side}.{place}", f"{side}.block.{place}.layer"
    own, inner = f"{source}.0.SelfAttention", f"{source}.{1 if side == 'encoder' else 2}"
    cross = None
    if side == "decoder":
        other = f"{source}.1.EncDecAttention"
        parts = [weights.product(f"{name}.cross_{part}", f"{other}.{part}") for part in "qkvo"]
        cross = CrossAttention(weights.norm(f"{name}.cross_norm", f"{source}.1.layer_norm"), *parts)
    gates = ("wi_0", "wi_1") if is_gated else ("wi",)
    return WritingLayer(
        name,
        weights.norm(f"{name}.attention_norm", f"{source}.0.layer_norm"),
        weights.product(f"{name}.attention_in", *(f"{own}.{part}" for part in "qkv")),
        weights.product(f"{name}.attention_out", f"{own}.o"),
        cross,
        weights.norm(f"{name}.feed_forward_norm", f"{inner}.layer_norm"),
        weights.product(f"{name}.feed_forward_in", *(f"{inner}.DenseReluDense.{gate}" for gate in gates)),
        weights.product(f"{name}.feed_forward_out", f"{inner}.DenseReluDense.wo"),
    )


def t5_activation(config: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the function of the feed-forward part, and whether it gates."""
    gate, _, name = str(config.get("feed_forward_proj", "relu")).rpartition("-")
    # As transformers reads it: what T5 1.1 calls gelu is the approximation by tanh.
    return ("gelu_new" if gate and name == "gelu" else name), bool(gate)


def _buckets(distances_P: IntArray, num_buckets: int, farthest: int, *, is_two_sided: bool) -> IntArray:
    """Return the row of the table that each distance has: near ones each their own, far ones share them.

    Args:
        distances_P: Places of tokens that are looked at, less that of the one that looks.
        num_buckets: Rows of the table.
        farthest: From which distance on all have the last row.
        is_two_sided: Whether tokens to the right are looked at, too.
    """
    first = np.zeros_like(distances_P)
    if is_two_sided:
        num_buckets //= 2
        first = (distances_P > 0) * num_buckets
    apart_P = np.abs(distances_P)
    num_near = num_buckets // 2
    # In float32, as torch computes it: at the bounds of rows the last bit decides.
    share_P = np.log(np.maximum(apart_P, 1).astype(np.float32) / np.float32(num_near)) / np.float32(
        np.log(farthest / num_near)
    )
    far_P = num_near + (share_P * np.float32(num_buckets - num_near)).astype(np.int64)
    return first + np.where(apart_P < num_near, apart_P, np.minimum(far_P, num_buckets - 1))
