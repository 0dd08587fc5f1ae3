"""The weights of BART by their names in a Hugging Face folder; it knows neither torch nor ONNX operators.

Source: Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training", section 2.1, arXiv:1910.13461.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from yanmo.errors import ModelError
from yanmo.exporting.decoder_tensors import DecoderNorm, DecoderProduct, DecoderTensors
from yanmo.exporting.writing_layers import CrossAttention, EncoderDecoderWeights, LearnedPlaces, WritingLayer

__all__ = ["read_bart"]

NUM_UNUSED_PLACES = 2
"""Rows of a table of places that no place has."""
EPSILON = 1e-5


def read_bart(weights: DecoderTensors, config: Mapping[str, Any]) -> EncoderDecoderWeights:
    """Return a network of the family bart.

    It normalizes behind each part, where others do so before the next one: the norm behind a part is that before
    the next, the last one of all is that behind the layers, and what goes on is what was normalized.

    Args:
        weights: By name.
        config: The folder's ``config.json``.

    Raises:
        KeyError: A weight or a setting is missing.
        ModelError: A side has a table of tokens of its own.
    """
    tokens_VD, output_VD = weights["model.shared.weight"], weights.get("lm_head.weight")
    bias_1V = weights.get("final_logits_bias")
    for side in ("encoder", "decoder"):
        own_VD = weights.get(f"model.{side}.embed_tokens.weight")
        if own_VD is not None and not np.array_equal(own_VD, tokens_VD):
            raise ModelError(
                f"The {side} of this network has a table of tokens of its own, for which no graph is written.",
                hint="It answers as the Bundle of torch that it is.",
            )
    width, num_heads = config["d_model"], config["encoder_attention_heads"]
    sides = {
        side: _read_side(weights, side, config[f"{side}_layers"], scale=(width // num_heads) ** -0.5)
        for side in ("encoder", "decoder")
    }
    places = [weights[f"model.{side}.embed_positions.weight"][NUM_UNUSED_PLACES:] for side in sides]
    return EncoderDecoderWeights(
        tokens_VD=tokens_VD,
        reading=sides["encoder"][0],
        reading_norm=sides["encoder"][1],
        reading_places=LearnedPlaces(places[0]),
        writing=sides["decoder"][0],
        writing_norm=sides["decoder"][1],
        writing_places=LearnedPlaces(places[1]),
        output_VD=None if output_VD is None or np.array_equal(output_VD, tokens_VD) else output_VD,
        num_heads=num_heads,
        head_width=width // num_heads,
        activation=config.get("activation_function", "gelu"),
        is_gated=False,
        epsilon=EPSILON,
        adds_to_normed=True,
        embedding_scale=math.sqrt(width) if config.get("scale_embedding") else 1.0,
        output_bias_V=None if bias_1V is None or not bias_1V.any() else bias_1V[0],
    )


def _read_side(
    weights: DecoderTensors, side: str, count: int, *, scale: float
) -> tuple[tuple[WritingLayer, ...], DecoderNorm]:
    """Return the layers of a side, and the norm behind them."""
    norm = weights.norm(f"{side}.embedding_norm", f"model.{side}.layernorm_embedding")
    layers = []
    for place in range(count):
        name, source = f"{side}.{place}", f"model.{side}.layers.{place}"
        behind = weights.norm(f"{name}.attention_norm", f"{source}.self_attn_layer_norm")
        cross, inner_norm = None, behind
        if side == "decoder":
            cross = _read_cross(weights, name, f"{source}.encoder_attn", behind, scale)
            inner_norm = weights.norm(f"{name}.cross_norm", f"{source}.encoder_attn_layer_norm")
        attention = [_attention_part(weights, f"{name}.{part}", f"{source}.self_attn", part, scale) for part in "qkv"]
        layers.append(
            WritingLayer(
                name,
                norm,
                _side_by_side(f"{name}.attention_in", attention),
                weights.product(f"{name}.attention_out", f"{source}.self_attn.out_proj"),
                cross,
                inner_norm,
                weights.product(f"{name}.feed_forward_in", f"{source}.fc1"),
                weights.product(f"{name}.feed_forward_out", f"{source}.fc2"),
            )
        )
        norm = weights.norm(f"{name}.feed_forward_norm", f"{source}.final_layer_norm")
    return tuple(layers), norm


def _read_cross(weights: DecoderTensors, name: str, source: str, norm: DecoderNorm, scale: float) -> CrossAttention:
    queries, keys, values = (_attention_part(weights, f"{name}.cross_{part}", source, part, scale) for part in "qkv")
    return CrossAttention(norm, queries, keys, values, weights.product(f"{name}.cross_o", f"{source}.out_proj"))


def _attention_part(weights: DecoderTensors, name: str, source: str, part: str, scale: float) -> DecoderProduct:
    """Return queries, keys or values; queries with the scale of the products that they make with keys."""
    product = weights.product(name, f"{source}.{part}_proj")
    if part != "q":
        return product
    bias_N = None if product.bias_N is None else product.bias_N * np.float32(scale)
    return replace(product, weight_KN=product.weight_KN * np.float32(scale), bias_N=bias_N)


def _side_by_side(name: str, parts: list[DecoderProduct]) -> DecoderProduct:
    # Of a family whose products all have a bias, or none.
    biases = [one.bias_N for one in parts if one.bias_N is not None]
    weight_KN = np.concatenate([one.weight_KN for one in parts], axis=1)
    return DecoderProduct(name, weight_KN, np.concatenate(biases) if biases else None)
