"""Parts of an encoder cut out: heads, feed-forward neurons, layers, embeddings.

What is cut is really gone, so the network is smaller and faster. It knows no file, no training, and not what matters.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from yanmo.arrays import IntArray
from yanmo.modeling.shrinking.layer_layouts import PartLayout, layout_of

__all__ = [
    "Cut",
    "count_heads",
    "count_neurons",
    "cut_embeddings",
    "cut_layers",
    "cut_parts",
    "layers_of",
    "set_layers",
]

IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")
"""What a config.json calls the numbers of special tokens."""


@dataclass(frozen=True)
class Cut:
    """What stays of every layer.

    Attributes:
        heads: Of each layer the heads that stay.
        neurons: Of each layer the feed-forward neurons that stay.
    """

    heads: list[list[int]]
    neurons: list[list[int]]


def layers_of(module: Any) -> list[Any]:
    """Return the layers of an encoder.

    Raises:
        ConfigError: It is of a family whose layers cannot be cut.
    """
    return list(module.base_model.get_submodule(layout_of(module).layers))


def count_heads(module: Any) -> list[int]:
    """Return how many heads each layer has."""
    layout = layout_of(module)
    return [_num_heads(layout, layer) for layer in layers_of(module)]


def count_neurons(module: Any) -> list[int]:
    """Return how many feed-forward neurons each layer has."""
    layout = layout_of(module)
    return [int(layer.get_submodule(layout.narrow).in_features) for layer in layers_of(module)]


def set_layers(module: Any, layers: Sequence[Any]) -> None:
    """Give an encoder other layers; its config is as before."""
    path, _, name = layout_of(module).layers.rpartition(".")
    setattr(module.base_model.get_submodule(path), name, nn.ModuleList(layers))


def cut_parts(module: Any, cut: Cut) -> None:
    """Cut heads and neurons out; where every layer keeps as many neurons, the config says how many."""
    layout = layout_of(module)
    for layer, heads, neurons in zip(layers_of(module), cut.heads, cut.neurons, strict=True):
        _cut_heads(layout, layer, heads)
        narrow = layer.get_submodule(layout.narrow)
        _keep(layer.get_submodule(layout.wide), np.array(neurons), dim=0, size=narrow.in_features)
        _keep(narrow, np.array(neurons), dim=1)
    widths = {len(neurons) for neurons in cut.neurons}
    if len(widths) == 1:
        setattr(module.config, layout.num_neurons, widths.pop())


def _cut_heads(layout: PartLayout, layer: Any, heads: Sequence[int]) -> None:
    attention, out = layer.get_submodule(layout.attention), layer.get_submodule(layout.attention_out)
    if len(heads) == _num_heads(layout, layer):
        return
    width = getattr(attention, layout.head_width)
    rows = (np.array(heads)[:, None] * width + np.arange(width)).ravel()
    for name in layout.reads:
        if hasattr(attention, name):
            _keep(getattr(attention, name), rows, dim=0, size=out.in_features)
    _keep(out, rows, dim=1)
    for name in layout.counts:
        setattr(attention, name, len(heads))
    for name in layout.widths:
        setattr(attention, name, len(rows))
    if layout.adds_by_head:
        # What is added is made once for all layers, with all heads.
        attention.register_forward_pre_hook(functools.partial(_take_heads, heads=list(heads)))


def _take_heads(_: nn.Module, given: tuple[Any, ...], *, heads: list[int]) -> tuple[Any, ...]:
    """Return what an attention is called with, the numbers by head for its own heads alone."""
    states_BTD, mask, bias_BHTT, *rest = given
    return (states_BTD, mask, bias_BHTT[:, heads], *rest)


def cut_layers(module: Any, kept: Sequence[int]) -> None:
    """Cut the other layers out."""
    layers, config = layers_of(module), module.config
    set_layers(module, [layers[place] for place in kept])
    config.num_hidden_layers = len(kept)
    if getattr(config, "layer_types", None):
        # Which of them look at near tokens alone.
        config.layer_types = [config.layer_types[place] for place in kept]


def cut_embeddings(module: Any, tokens: IntArray | None, num_positions: int | None) -> None:
    """Cut the embeddings of other tokens out, and of places that no text reaches.

    Args:
        module: The encoder.
        tokens: Ids that stay, rising; None keeps all.
        num_positions: Places that stay, from the first; None keeps all.
    """
    config, layout, base = module.config, layout_of(module), module.base_model
    if tokens is not None:
        new_ids = {old: new for new, old in enumerate(tokens.tolist())}
        words = base.get_submodule(layout.tokens)
        _keep(words, tokens, dim=0)
        config.vocab_size = len(tokens)
        for name in IDS:
            old = getattr(config, name, None)
            if old is not None:
                setattr(config, name, new_ids.get(old))
        words.padding_idx = config.pad_token_id
    if layout.places and num_positions is not None and num_positions < config.max_position_embeddings:
        _keep(base.get_submodule(layout.places), np.arange(num_positions), dim=0)
        config.max_position_embeddings = num_positions
        # Buffers with an entry for each place, of which a pass reads as many as a text has.
        for name in ("position_ids", "token_type_ids"):
            buffer = getattr(base.embeddings, name, None)
            if buffer is not None:
                setattr(base.embeddings, name, buffer[:, :num_positions].clone())


def _keep(layer: Any, parts: IntArray, *, dim: int, size: int | None = None) -> None:
    """Keep some rows (or columns) of a layer's weight, and of its bias.

    Args:
        layer: A linear one, or embeddings.
        parts: The rows that stay of a block of them.
        dim: 0 for rows, 1 for columns.
        size: Of a block, where a layer has several, such as queries, keys and values; None: there is one.
    """
    starts = range(0, layer.weight.shape[dim], size or layer.weight.shape[dim])
    rows = torch.from_numpy(np.concatenate([parts + start for start in starts]))
    layer.weight = nn.Parameter(layer.weight.detach().index_select(dim, rows).contiguous())
    if dim == 0 and getattr(layer, "bias", None) is not None:
        layer.bias = nn.Parameter(layer.bias.detach()[rows].contiguous())
    sizes = layer.weight.shape
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = sizes
    elif isinstance(layer, nn.Embedding):
        layer.num_embeddings = sizes[0]


def _num_heads(layout: PartLayout, layer: Any) -> int:
    width = getattr(layer.get_submodule(layout.attention), layout.head_width)
    return int(layer.get_submodule(layout.attention_out).in_features) // int(width)
