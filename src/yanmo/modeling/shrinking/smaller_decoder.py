"""A language model with fewer layers, heads, neurons and tokens, made of the weights that stay.

One row a family says where its parts are; a family without one is refused by name. It knows no file, no training, and
not what matters.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.arrays import IntArray
from yanmo.errors import ConfigError

__all__ = ["LAYER_WEIGHT", "CutPart", "DecoderParts", "StayingParts", "decoder_parts", "head_width_of", "make_smaller"]

LAYER_WEIGHT = re.compile(r"^((?:.*\.)?(?:h|layers)\.)(\d+)\.(.*)$")
"""What stands before a layer's number, the number, and what is within it."""
IDS = ("pad_token_id", "bos_token_id", "eos_token_id")
"""What a config.json calls the numbers of special tokens."""
CutPart = Literal["heads", "neurons"]
Side = Literal["in", "out"]


@dataclass(frozen=True)
class DecoderParts:
    """Where a family keeps what can be left out.

    Attributes:
        num_layers: What its config.json calls the number of layers.
        tokens: Names of weights with a row for every token.
        products: Within a layer the linear maps of which inputs or outputs belong to heads or neurons.
        counts: CutPart to what the config calls the number of them in a layer.
        is_turned: Weights stand the other way round, (inputs, outputs).
    """

    num_layers: str
    tokens: tuple[str, ...]
    products: Mapping[str, tuple[CutPart, Side]]
    counts: Mapping[CutPart, tuple[str, ...]]
    is_turned: bool = False

    def reader(self, part: CutPart) -> str:
        """Return the linear map through whose inputs all goes that heads or neurons say."""
        return next(name for name, found in self.products.items() if found == (part, "in"))


LLAMA = DecoderParts(
    "num_hidden_layers",
    ("model.embed_tokens.weight", "lm_head.weight"),
    {
        **dict.fromkeys((f"self_attn.{one}_proj" for one in "qkv"), ("heads", "out")),
        "self_attn.o_proj": ("heads", "in"),
        **dict.fromkeys(("mlp.gate_proj", "mlp.up_proj"), ("neurons", "out")),
        "mlp.down_proj": ("neurons", "in"),
    },
    {"heads": ("num_attention_heads", "num_key_value_heads"), "neurons": ("intermediate_size",)},
)
LIGHT = DecoderParts("num_hidden_layers", ("embeddings.weight", "bias"), {}, {})
FAMILIES: Mapping[str, DecoderParts] = {
    # Its queries, keys and values stand in one map as wide as its states, so no head can go.
    "gpt2": DecoderParts(
        "n_layer",
        ("transformer.wte.weight", "lm_head.weight"),
        {"mlp.c_fc": ("neurons", "out"), "mlp.c_proj": ("neurons", "in")},
        {"neurons": ("n_inner",)},
        is_turned=True,
    ),
    **dict.fromkeys(("arcee", "llama", "qwen2", "qwen3"), LLAMA),
    **dict.fromkeys(("yanmo-lstm", "yanmo-gcnn"), LIGHT),
}
"""What a config.json calls its ``model_type``, to where its parts are."""


@dataclass(frozen=True)
class StayingParts:
    """What stays.

    Attributes:
        layers: Numbers of layers, rising.
        parts: Of each layer that stays the heads or neurons that stay, as many in each.
        tokens: Ids, rising; None keeps all.
    """

    layers: Sequence[int]
    parts: Mapping[CutPart, Sequence[Sequence[int]]]
    tokens: IntArray | None = None


def decoder_parts(module: Any) -> DecoderParts:
    """Return where a language model keeps its parts.

    Raises:
        ConfigError: It is of a family whose parts cannot be left out.
    """
    if module.config.model_type not in FAMILIES:
        raise ConfigError(
            f"prune cannot cut parts out of {type(module).__name__}.",
            hint=f"It can of the families {', '.join(FAMILIES)}; single weights of any: --weights 0.5.",
        )
    return FAMILIES[module.config.model_type]


def make_smaller(module: Any, staying: StayingParts) -> nn.Module:
    """Return a network of the same class with some of the weights of another one, which stays as it is."""
    family, config = decoder_parts(module), copy.deepcopy(module.config)
    _describe(config, family, staying)
    weights: dict[str, Tensor] = {}
    for name, weight in module.state_dict().items():
        found = LAYER_WEIGHT.match(name)
        if found is None:
            is_of_tokens = name in family.tokens and staying.tokens is not None
            weights[name] = weight[torch.from_numpy(staying.tokens)] if is_of_tokens else weight
        elif int(found[2]) in staying.layers:
            place = list(staying.layers).index(int(found[2]))
            product, _, kind = found[3].rpartition(".")
            what: dict[str, Any] = {
                "product": product,
                "is_bias": kind == "bias",
                "head_width": head_width_of(module.config),
            }
            weights[f"{found[1]}{place}.{found[3]}"] = _kept(weight, family, staying, place, **what)
    smaller: nn.Module = type(module)(config)
    smaller.load_state_dict(weights)
    return smaller.eval()


def head_width_of(config: Any) -> int:
    """Return how wide a head is, 0 where there are none."""
    num_heads = getattr(config, "num_attention_heads", 0)
    width = getattr(config, "head_dim", None)
    return int(width or (config.hidden_size // num_heads if num_heads else 0))


def _describe(config: Any, family: DecoderParts, staying: StayingParts) -> None:
    """Write into a config how many of everything stay."""
    setattr(config, family.num_layers, len(staying.layers))
    if getattr(config, "layer_types", None):
        # Which of them look at near tokens alone.
        config.layer_types = [config.layer_types[layer] for layer in staying.layers]
    # Heads stay as wide as they are, though fewer.
    if "heads" in staying.parts and getattr(config, "head_dim", None) is None:
        config.head_dim = head_width_of(config)
    for part, kept in staying.parts.items():
        for name in family.counts[part]:
            setattr(config, name, len(kept[0]))
    if staying.tokens is not None:
        new_ids = {old: new for new, old in enumerate(staying.tokens.tolist())}
        config.vocab_size = len(new_ids)
        for name in IDS:
            old = getattr(config, name, None)
            ids = [new_ids[one] for one in (old if isinstance(old, list) else [old]) if one in new_ids]
            setattr(config, name, ids if isinstance(old, list) else next(iter(ids), None))


def _kept(
    weight: Tensor,
    family: DecoderParts,
    staying: StayingParts,
    place: int,
    *,
    product: str,
    is_bias: bool,
    head_width: int,
) -> Tensor:
    """Return the rows or columns of a layer's weight that belong to parts that stay."""
    part, side = family.products.get(product, (None, "in"))
    if part is None or part not in staying.parts or (is_bias and side == "in"):
        return weight
    dim = 0 if is_bias or (side == "out") != family.is_turned else 1
    width = head_width if part == "heads" else 1
    rows = (np.array(staying.parts[part][place])[:, None] * width + np.arange(width)).ravel()
    return weight.index_select(dim, torch.from_numpy(rows)).contiguous()
