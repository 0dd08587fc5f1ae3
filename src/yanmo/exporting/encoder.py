"""The weights of an encoder with a classification head, whatever its family, as plain numpy arrays.

Read from a Hugging Face folder, or from the initializers of a graph that ``encoder_graph`` wrote. It knows neither
torch nor ONNX operators. Layers may differ in heads and in feed-forward width; layers of one name share their weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from yanmo.arrays import FloatArray
from yanmo.errors import ModelError

__all__ = ["ACTIVATIONS", "Encoder", "Layer", "Norm", "Product", "is_supported", "read_folder"]

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh")


@dataclass(frozen=True)
class Product:
    """An affine map, ``x @ weight + bias``.

    Attributes:
        name: Unique in an encoder, but for layers that share it.
        weight_KN: float32, shape (inputs, outputs).
        bias_N: float32.
    """

    name: str
    weight_KN: FloatArray
    bias_N: FloatArray


@dataclass(frozen=True)
class Norm:
    """Layer normalization over the width."""

    name: str
    scale_D: FloatArray
    shift_D: FloatArray


@dataclass(frozen=True)
class Layer:
    """One transformer layer that normalizes after each of its two sums.

    Attributes:
        name: Layers of one name share their weights.
        num_heads: Of the attention; each is as wide as the outputs of ``attention_in`` allow.
        attention_in: Queries, keys and values side by side, shape (D, 3 * heads * head width).
    """

    name: str
    num_heads: int
    attention_in: Product
    attention_out: Product
    attention_norm: Norm
    feed_forward_in: Product
    feed_forward_out: Product
    feed_forward_norm: Norm

    @property
    def products(self) -> tuple[Product, ...]:
        """The four affine maps in the order in which they run."""
        return (self.attention_in, self.attention_out, self.feed_forward_in, self.feed_forward_out)


@dataclass(frozen=True)
class Encoder:
    """A whole classifier of texts, or of their units, or what gives vectors of texts.

    Attributes:
        tokens_VE: Embedding of every token.
        positions_PE: Embedding of every place, from the first token on.
        types_SE: Embedding of the first and the second text of a pair; None where the model has none.
        embedding_norm: Over their sum.
        projection: From the embeddings' width to the layers'; None where they are equal.
        layers: In the order in which they run.
        activation: Of the feed-forward part, one of :data:`ACTIVATIONS`.
        head: From the text's state to the scores: a hidden product and the classifier, or the classifier alone; none
            where the state itself is what is wanted.
        head_activation: Between the two.
        pooling: The text's state is the first token's (``first``), or the mean of all tokens' (``mean``); where every
            unit of a text is classified (``units``), its state is that of its first token.
        epsilon: Of every normalization.
    """

    tokens_VE: FloatArray
    positions_PE: FloatArray
    types_SE: FloatArray | None
    embedding_norm: Norm
    projection: Product | None
    layers: tuple[Layer, ...]
    activation: str
    head: tuple[Product, ...]
    head_activation: str
    pooling: str
    epsilon: float

    @property
    def num_outputs(self) -> int:
        """How many numbers the head gives; without one as many as a state has."""
        return len(self.head[-1].bias_N) if self.head else len(self.layers[-1].feed_forward_norm.scale_D)

    def products(self) -> list[Product]:
        """Return every distinct affine map in the order in which they run."""
        found = [one for one in (self.projection,) if one is not None]
        found += [product for layer in self.layers for product in layer.products]
        return list({product.name: product for product in (*found, *self.head)}.values())


@dataclass(frozen=True)
class _Family:
    """Where a family of transformers classes keeps what; ``{}`` stands for the layer's number."""

    prefix: str
    layer: str
    parts: tuple[str, ...]
    projection: str
    head: tuple[str, str]
    head_activation: str


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
_LAYER = "encoder.layer.{}"
_HEAD = ("classifier.dense", "classifier.out_proj")
_ROBERTA = _Family("roberta", _LAYER, _BERT_PARTS, "", _HEAD, "tanh")
_FAMILIES = {
    "bert": _Family("bert", _LAYER, _BERT_PARTS, "", ("bert.pooler.dense", "classifier"), "tanh"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": _Family("electra", _LAYER, _BERT_PARTS, "embeddings_project", _HEAD, "gelu"),
    "albert": _Family(
        "albert",
        "encoder.albert_layer_groups.{}.albert_layers.0",
        _ALBERT_PARTS,
        "encoder.embedding_hidden_mapping_in",
        ("albert.pooler", "classifier"),
        "tanh",
    ),
    "distilbert": _Family(
        "distilbert", "transformer.layer.{}", _DISTIL_PARTS, "", ("pre_classifier", "classifier"), "relu"
    ),
}
# Their first token has the position after that of padding; the rows before it are never read.
_COUNTS_FROM_PAD = ("roberta", "xlm-roberta", "camembert")


def is_supported(config: Mapping[str, Any]) -> bool:
    """Return whether a ``config.json`` describes an encoder that :func:`read_folder` can read."""
    return (
        # The graph is written for absolute positions, attention to both sides and groups of one layer.
        config.get("model_type") in _FAMILIES
        and _activation(config) in ACTIVATIONS
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder", False)
        and config.get("inner_group_num", 1) == 1
    )


def read_folder(folder: Path) -> Encoder:
    """Return the encoder of a Hugging Face folder: ``config.json`` and ``model.safetensors``.

    The config of a pruned one, which transformers cannot hold, has ``layer_heads``: the heads of each layer.

    Raises:
        ModelError: A weight is missing.
    """
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    tensors = {name: np.asarray(array, np.float32) for name, array in load_file(folder / "model.safetensors").items()}
    family = _FAMILIES[config["model_type"]]
    if _is_bare(config):
        tensors = {f"{family.prefix}.{name}": array for name, array in tensors.items()}
    try:
        return _read(_Weights(tensors), family, config)
    except KeyError as error:
        raise ModelError(
            f"{folder / 'model.safetensors'} lacks the weight {error}.", hint="Train or download the model again."
        ) from error


class _Weights:
    """Tensors by name, in the shapes of this module."""

    def __init__(self, tensors: Mapping[str, FloatArray]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> FloatArray:
        return self._tensors[name]

    def get(self, name: str) -> FloatArray | None:
        return self._tensors.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def product(self, name: str, *sources: str) -> Product:
        """Return the linear layers of some names side by side as one product."""
        # torch keeps linear weights as (outputs, inputs).
        weight_KN = np.concatenate([self._tensors[f"{source}.weight"].T for source in sources], axis=1)
        bias_N = np.concatenate([self._tensors[f"{source}.bias"] for source in sources])
        return Product(name, np.ascontiguousarray(weight_KN), bias_N)

    def norm(self, name: str, source: str) -> Norm:
        return Norm(name, self._tensors[f"{source}.weight"], self._tensors[f"{source}.bias"])


def _read(weights: _Weights, family: _Family, config: Mapping[str, Any]) -> Encoder:
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
        layers=tuple(_read_layers(weights, family, config)),
        activation=_activation(config),
        head=_read_head(weights, family, config),
        head_activation=family.head_activation,
        pooling=_pooling(config),
        # DistilBERT has it fixed in its code, and not in its config.
        epsilon=float(config.get("layer_norm_eps", 1e-12)),
    )


def _read_head(weights: _Weights, family: _Family, config: Mapping[str, Any]) -> tuple[Product, ...]:
    if _is_bare(config):
        return ()
    if _pooling(config) != "first":
        return (weights.product("head.classifier", "classifier"),)
    hidden, classifier = family.head
    return (weights.product("head.hidden", hidden), weights.product("head.classifier", classifier))


def _read_layers(weights: _Weights, family: _Family, config: Mapping[str, Any]) -> list[Layer]:
    # The second names are DistilBERT's.
    num_layers = config.get("num_hidden_layers", config.get("n_layers"))
    num_heads = config.get("num_attention_heads", config.get("n_heads"))
    heads = config.get("layer_heads", [num_heads] * num_layers)
    num_groups = config.get("num_hidden_groups", num_layers)
    layers = []
    for place in range(num_layers):
        # ALBERT has fewer groups of weights than layers, mostly one; neighbours share one.
        group = place * num_groups // num_layers
        source = f"{family.prefix}.{family.layer.format(group)}"
        query, key, value, out, norm, wide, narrow, last = (f"{source}.{part}" for part in family.parts)
        name = f"layer.{group}"
        layers.append(
            Layer(
                name,
                heads[place],
                weights.product(f"{name}.attention_in", query, key, value),
                weights.product(f"{name}.attention_out", out),
                weights.norm(f"{name}.attention_norm", norm),
                weights.product(f"{name}.feed_forward_in", wide),
                weights.product(f"{name}.feed_forward_out", narrow),
                weights.norm(f"{name}.feed_forward_norm", last),
            )
        )
    return layers


def _is_bare(config: Mapping[str, Any]) -> bool:
    """Return whether it is an encoder without a head, whose weights then have no prefix."""
    return not any("For" in name for name in config.get("architectures") or ("For",))


def _pooling(config: Mapping[str, Any]) -> str:
    labels_tokens = any(name.endswith("ForTokenClassification") for name in config.get("architectures") or ())
    return "units" if labels_tokens else str(config.get("pooling", "first"))


def _activation(config: Mapping[str, Any]) -> str:
    return str(config.get("hidden_act", config.get("activation", "")))
