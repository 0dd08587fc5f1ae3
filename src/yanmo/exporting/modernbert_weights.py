"""The weights of ModernBERT: layers that normalize first, turned queries and keys, windows, gates; it reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.exporting.bert_weights import labels_units
from yanmo.exporting.encoder import Encoder, Layer
from yanmo.exporting.named_weights import NamedWeights

__all__ = ["can_read_modernbert", "read_modernbert"]

NEAR = "sliding_attention"
POOLINGS = {"cls": "first", "mean": "mean"}


def can_read_modernbert(config: Mapping[str, Any]) -> bool:
    """Return whether the angles of a config.json are the plain ones."""
    angles = config.get("rope_parameters") or {}
    return bool(config.get("layer_types")) and all(
        angles.get(kind, {}).get("rope_type") == "default" for kind in config["layer_types"]
    )


def read_modernbert(weights: NamedWeights, config: Mapping[str, Any]) -> Encoder:
    """Return the encoder.

    Args:
        weights: Of the whole classifier.
        config: Its config.json. That of a pruned one has ``layer_heads``, the heads that each layer has kept.

    Raises:
        KeyError: A weight is missing.
    """
    return Encoder(
        tokens_VE=weights["model.embeddings.tok_embeddings.weight"],
        positions_PE=None,
        types_SE=None,
        embedding_norm=weights.norm("embedding_norm", "model.embeddings.norm"),
        projection=None,
        layers=tuple(_read_layer(weights, config, place) for place in range(config["num_hidden_layers"])),
        activation=str(config["hidden_activation"]),
        head=(weights.product("head.hidden", "head.dense"), weights.product("head.classifier", "classifier")),
        head_activation=str(config["classifier_activation"]),
        pooling="units" if labels_units(config) else POOLINGS[config["classifier_pooling"]],
        epsilon=float(config["norm_eps"]),
        norms_first=True,
        is_gated=True,
        final_norm=weights.norm("final_norm", "model.final_norm"),
        head_norm=weights.norm("head.norm", "head.norm"),
    )


def _read_layer(weights: NamedWeights, config: Mapping[str, Any], place: int) -> Layer:
    name, source, kind = f"layer.{place}", f"model.layers.{place}", config["layer_types"][place]
    heads = config["layer_heads"][place] if "layer_heads" in config else range(config["num_attention_heads"])
    # The first layer reads embeddings, which are normalized already.
    is_normed = weights.has(f"{source}.attn_norm")
    return Layer(
        name,
        len(heads),
        weights.product(f"{name}.attention_in", f"{source}.attn.Wqkv"),
        weights.product(f"{name}.attention_out", f"{source}.attn.Wo"),
        weights.norm(f"{name}.attention_norm", f"{source}.attn_norm") if is_normed else None,
        weights.product(f"{name}.feed_forward_in", f"{source}.mlp.Wi"),
        weights.product(f"{name}.feed_forward_out", f"{source}.mlp.Wo"),
        weights.norm(f"{name}.feed_forward_norm", f"{source}.mlp_norm"),
        rotary_base=float(config["rope_parameters"][kind]["rope_theta"]),
        window=int(config["local_attention"]) // 2 if kind == NEAR else 0,
    )
