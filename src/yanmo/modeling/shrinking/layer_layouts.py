"""Where families of transformers' encoders keep what can be cut out of them: layers, heads, neurons, embeddings.

One row a family; a family without one is refused by name. It knows no weights and cuts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yanmo.errors import ConfigError
from yanmo.modeling.networks.pooling import MeanPooling

__all__ = ["LAYOUTS", "PartLayout", "layout_of"]

KIND = "ForSequenceClassification"


@dataclass(frozen=True)
class PartLayout:
    """Names of submodules, from the encoder without its head, from a layer, or from a layer's attention.

    Attributes:
        layers: The list of layers.
        attention: A layer's attention.
        reads: The attention's linear layers whose rows belong to heads.
        attention_out: A layer's linear layer whose columns belong to heads.
        wide: A layer's linear layer whose rows belong to neurons; of a gated one they stand there twice.
        narrow: A layer's linear layer whose columns belong to neurons.
        head_width: The attention's attribute with the width of a head.
        counts: The attention's attributes with the number of heads.
        widths: The attention's attributes with the width of all heads together.
        tokens: The embeddings of tokens.
        places: The embeddings of places; empty where the encoder knows places by other means.
        num_neurons: What its config.json calls the number of neurons of a layer.
        adds_by_head: The attention is handed numbers of all heads, shape (B, heads, T, T), as its third argument.
        keeps_first: The first layer is unlike the others, so it stays the first.
        can_differ: An ONNX graph holds it with other heads, or with other numbers of neurons in each layer; no class of
            transformers does.
    """

    layers: str = "encoder.layer"
    attention: str = "attention.self"
    reads: tuple[str, ...] = ("query", "key", "value")
    attention_out: str = "attention.output.dense"
    wide: str = "intermediate.dense"
    narrow: str = "output.dense"
    head_width: str = "attention_head_size"
    counts: tuple[str, ...] = ("num_attention_heads",)
    widths: tuple[str, ...] = ("all_head_size",)
    tokens: str = "embeddings.word_embeddings"
    places: str = "embeddings.position_embeddings"
    num_neurons: str = "intermediate_size"
    adds_by_head: bool = False
    keeps_first: bool = False
    can_differ: bool = True


BERT = PartLayout()
LAYOUTS: dict[str, PartLayout] = {
    **dict.fromkeys(("bert", "roberta", "electra", "xlm-roberta", "camembert"), BERT),
    "distilbert": PartLayout(
        layers="transformer.layer",
        attention="attention",
        reads=("q_lin", "k_lin", "v_lin"),
        attention_out="attention.out_lin",
        wide="ffn.lin1",
        narrow="ffn.lin2",
        counts=("n_heads",),
        widths=(),
        num_neurons="hidden_dim",
    ),
    "mpnet": PartLayout(
        attention="attention.attn", reads=("q", "k", "v"), attention_out="attention.attn.o", adds_by_head=True
    ),
    "deberta-v2": PartLayout(
        reads=("query_proj", "key_proj", "value_proj", "pos_key_proj", "pos_query_proj"),
        # Its relative places count on the number of all places, so none is cut.
        places="",
        can_differ=False,
    ),
    "modernbert": PartLayout(
        layers="layers",
        attention="attn",
        reads=("Wqkv",),
        attention_out="attn.Wo",
        wide="mlp.Wi",
        narrow="mlp.Wo",
        head_width="head_dim",
        counts=(),
        widths=(),
        tokens="embeddings.tok_embeddings",
        places="",
        keeps_first=True,
    ),
}
"""What a config.json calls its ``model_type``, to where its parts are."""


def layout_of(module: Any) -> PartLayout:
    """Return where a classifier keeps its parts.

    Raises:
        ConfigError: It is of a family whose parts cannot be cut.
    """
    config = module.config
    is_classifier = type(module).__name__.endswith(KIND) or isinstance(module, MeanPooling)
    if config.model_type not in LAYOUTS or not is_classifier or getattr(config, "is_decoder", False):
        raise ConfigError(
            f"prune cannot cut parts out of {type(module).__name__}.",
            hint=f"It can of the families {', '.join(LAYOUTS)}; single weights of any: --weights 0.5.",
        )
    return LAYOUTS[config.model_type]
