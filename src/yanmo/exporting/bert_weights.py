"""The weights of encoders that are built as BERT: where their families keep what; it reads no file.

MPNet belongs to them: besides the embeddings of places it adds a number for each distance to the scores of attention.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yanmo.arrays import FloatArray, IntArray
from yanmo.exporting.encoder import Distances, Encoder, Layer, Product
from yanmo.exporting.named_weights import NamedWeights

__all__ = ["BERT_FAMILIES", "distance_buckets", "fills_gaps", "is_bare", "labels_units", "read_bert"]

NUM_BUCKETS, FARTHEST = 32, 128
"""How MPNet counts distances, in whatever number of buckets its config.json says; farther ones are all one."""


@dataclass(frozen=True)
class _Family:
    """Where a family of transformers classes keeps what; ``{}`` stands for the layer's number.

    ``guesses`` are the hidden product and the norm of the head for hidden tokens, and what has its bias.
    """

    prefix: str
    layer: str
    parts: tuple[str, ...]
    projection: str
    head: tuple[str, str]
    head_activation: str
    guesses: tuple[str, str, str]
    distances: str = ""


# In the order in which _read_layers takes them: query, key, value, output and norm of the attention, then both products
# and the norm of the feed-forward part.
_BERT_PARTS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_ALBERT_PARTS = (
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.dense",
    "attention.LayerNorm",
    "ffn",
    "ffn_output",
    "full_layer_layer_norm",
)
_DISTIL_PARTS = (
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
)
_MPNET_PARTS = (
    "attention.attn.q",
    "attention.attn.k",
    "attention.attn.v",
    "attention.attn.o",
    "attention.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
_LAYER = "encoder.layer.{}"
_HEAD = ("classifier.dense", "classifier.out_proj")
_LM_HEAD = ("lm_head.dense", "lm_head.layer_norm", "lm_head")
_ROBERTA = _Family("roberta", _LAYER, _BERT_PARTS, "", _HEAD, "tanh", _LM_HEAD)
BERT_FAMILIES = {
    "bert": _Family(
        "bert",
        _LAYER,
        _BERT_PARTS,
        "",
        ("bert.pooler.dense", "classifier"),
        "tanh",
        ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions"),
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": _Family(
        "electra",
        _LAYER,
        _BERT_PARTS,
        "embeddings_project",
        _HEAD,
        "gelu",
        ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head"),
    ),
    "albert": _Family(
        "albert",
        "encoder.albert_layer_groups.{}.albert_layers.0",
        _ALBERT_PARTS,
        "encoder.embedding_hidden_mapping_in",
        ("albert.pooler", "classifier"),
        "tanh",
        ("predictions.dense", "predictions.LayerNorm", "predictions"),
    ),
    "distilbert": _Family(
        "distilbert",
        "transformer.layer.{}",
        _DISTIL_PARTS,
        "",
        ("pre_classifier", "classifier"),
        "relu",
        ("vocab_transform", "vocab_layer_norm", "vocab_projector"),
    ),
    "mpnet": _Family("mpnet", _LAYER, _MPNET_PARTS, "", _HEAD, "tanh", _LM_HEAD, "encoder.relative_attention_bias"),
}
# Their first token has the position after that of padding; the rows before it are never read.
_COUNTS_FROM_PAD = ("roberta", "xlm-roberta", "camembert", "mpnet")


def read_bert(weights: NamedWeights, config: Mapping[str, Any]) -> Encoder:
    """Return the encoder of one of :data:`BERT_FAMILIES`.

    Args:
        weights: Of the whole classifier, or of what of it reads texts, under the same names.
        config: Its config.json. That of a pruned one has ``layer_heads``, the heads that each layer has kept.

    Raises:
        KeyError: A weight is missing.
    """
    family = BERT_FAMILIES[config["model_type"]]
    base = f"{family.prefix}.embeddings"
    positions_PE = weights[f"{base}.position_embeddings.weight"]
    if config["model_type"] in _COUNTS_FROM_PAD:
        positions_PE = positions_PE[config["pad_token_id"] + 1 :]
    types = f"{base}.token_type_embeddings.weight"
    projection = f"{family.prefix}.{family.projection}"
    has_projection = bool(family.projection) and f"{projection}.weight" in weights
    return Encoder(
        tokens_VE=weights[f"{base}.word_embeddings.weight"],
        positions_PE=positions_PE,
        types_SE=weights.get(types),
        embedding_norm=weights.norm("embedding_norm", f"{base}.LayerNorm"),
        projection=weights.product("projection", projection) if has_projection else None,
        layers=tuple(_read_layers(weights, family, config, num_places=len(positions_PE))),
        activation=str(config.get("hidden_act", config.get("activation"))),
        head=_read_head(weights, family, config),
        head_activation=_guessing_activation(config) if fills_gaps(config) else family.head_activation,
        pooling=_pooling(config),
        # DistilBERT has it fixed in its code, and not in its config.
        epsilon=float(config.get("layer_norm_eps", 1e-12)),
        head_norm=weights.norm("head.norm", family.guesses[1]) if fills_gaps(config) else None,
    )


def _read_head(weights: NamedWeights, family: _Family, config: Mapping[str, Any]) -> tuple[Product, ...]:
    if is_bare(config):
        return ()
    if fills_gaps(config):
        return _read_guesses(weights, family)
    if _pooling(config) != "first":
        return (weights.product("head.classifier", "classifier"),)
    hidden, classifier = family.head
    return (weights.product("head.hidden", hidden), weights.product("head.classifier", classifier))


def _read_guesses(weights: NamedWeights, family: _Family) -> tuple[Product, ...]:
    """Return the head for hidden tokens, whose last weights are the embeddings of the tokens."""
    hidden, _, last = family.guesses
    tokens_VE = weights[f"{family.prefix}.embeddings.word_embeddings.weight"]
    # Where they were untied the head has its own.
    own = next((one for one in (f"{last}.decoder.weight", f"{last}.weight") if one in weights), None)
    weight_EV = np.ascontiguousarray((tokens_VE if own is None else weights[own]).T)
    # It is what the network adds, where both names are there.
    bias_V = weights[next(one for one in (f"{last}.decoder.bias", f"{last}.bias") if one in weights)]
    return (weights.product("head.hidden", hidden), Product("head.classifier", weight_EV, bias_V))


def _guessing_activation(config: Mapping[str, Any]) -> str:
    # The others have it fixed in their code.
    fixed = config["model_type"] not in ("bert", "albert", "distilbert")
    return "gelu" if fixed else str(config.get("hidden_act", config.get("activation")))


def _read_layers(weights: NamedWeights, family: _Family, config: Mapping[str, Any], *, num_places: int) -> list[Layer]:
    # The second names are DistilBERT's.
    num_layers = config.get("num_hidden_layers", config.get("n_layers"))
    num_heads = config.get("num_attention_heads", config.get("n_heads"))
    heads = config.get("layer_heads", [range(num_heads)] * num_layers)
    num_groups = config.get("num_hidden_groups", num_layers)
    layers = []
    for place in range(num_layers):
        # ALBERT has fewer groups of weights than layers, mostly one; neighbours share one.
        group = place * num_groups // num_layers
        source = f"{family.prefix}.{family.layer.format(group)}"
        query, key, value, out, norm, wide, narrow, last = (f"{source}.{part}" for part in family.parts)
        name = f"layer.{group}"
        table = weights.get(f"{family.prefix}.{family.distances}.weight")
        layers.append(
            Layer(
                name,
                len(heads[place]),
                weights.product(f"{name}.attention_in", query, key, value),
                weights.product(f"{name}.attention_out", out),
                weights.norm(f"{name}.attention_norm", norm),
                weights.product(f"{name}.feed_forward_in", wide),
                weights.product(f"{name}.feed_forward_out", narrow),
                weights.norm(f"{name}.feed_forward_norm", last),
                None if table is None else _distances(table, name, list(heads[place]), num_places),
            )
        )
    return layers


def _distances(table_KH: FloatArray, layer: str, heads: Sequence[int], num_places: int) -> Distances:
    """Return what MPNet adds for distances, of a layer's heads; where none was cut out all layers share it."""
    values_HR = table_KH[distance_buckets(num_places)].T[list(heads)]
    is_whole = len(heads) == table_KH.shape[1]
    return Distances("distances" if is_whole else f"{layer}.distances", np.ascontiguousarray(values_HR))


def distance_buckets(num_places: int) -> IntArray:
    """Return the bucket of every distance from -(num_places - 1) to num_places - 1, as MPNet counts them.

    Source: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
    section 2.1, arXiv:1910.10683.
    """
    distances_R = np.arange(-num_places + 1, num_places)
    half, far_R = NUM_BUCKETS // 2, np.abs(distances_R)
    exact = half // 2
    # In 32 bits, since a logarithm that is nearly a whole number has to be rounded as the network rounds it.
    logs_R = np.log(np.maximum(far_R, 1).astype(np.float32) / np.float32(exact)) / np.float32(
        math.log(FARTHEST / exact)
    )
    large_R = np.minimum(exact + (logs_R * np.float32(half - exact)).astype(np.int64), half - 1)
    buckets_R: IntArray = np.where(far_R < exact, far_R, large_R) + half * (distances_R > 0)
    return buckets_R


def _pooling(config: Mapping[str, Any]) -> str:
    return "units" if labels_units(config) or fills_gaps(config) else str(config.get("pooling", "first"))


def is_bare(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is that of an encoder without a head, whose weights have no prefix then."""
    return not any("For" in name for name in config.get("architectures") or ("For",))


def labels_units(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is that of a classifier of tokens."""
    return any(name.endswith("ForTokenClassification") for name in config.get("architectures") or ())


def fills_gaps(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is that of a masked language model."""
    return any(name.endswith("ForMaskedLM") for name in config.get("architectures") or ())
