"""How far below the head each weight of a network is, read from the names that transformers gives.

It trains nothing.
"""

from __future__ import annotations

import re

from torch import nn

from yanmo.errors import ConfigError

__all__ = ["freeze", "matrices_in_layers", "parameter_depths"]

# BERT says layer, newer ones layers, GPT-2 h, T5 block; wte and wpe are GPT-2's words and places, shared T5's words.
LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.")
EMBEDDINGS = re.compile(r"embed|\.wte\.|\.wpe\.|\bshared\.")
DISTANCES = "relative_attention_bias"
"""T5's embeddings of distances, which stand within its first layers."""


def parameter_depths(module: nn.Module) -> dict[str, int]:
    """Return the depth of every parameter: 0 in the head, 1 in the top layer, one more than the layers for embeddings.

    Raises:
        ConfigError: The network has no numbered layers of its own, as where all layers share their weights.
    """
    layers = {name: int(found[1]) for name, _ in module.named_parameters() if (found := LAYER.search(name))}
    if not layers:
        raise ConfigError(
            f"The network {type(module).__name__} has no layers that can be told apart.",
            hint="Leave layer_decay and frozen_layers out, or train a model of the family bert, roberta or electra.",
        )
    num_layers = 1 + max(layers.values())
    return {name: _depth(name, layers, num_layers) for name, _ in module.named_parameters()}


def matrices_in_layers(module: nn.Module) -> frozenset[str]:
    """Return the names of all matrices within numbered layers: not embeddings, and not the head."""
    found = ((name, one) for name, one in module.named_parameters() if LAYER.search(name) and DISTANCES not in name)
    return frozenset(name for name, one in found if one.ndim == 2)


def freeze(module: nn.Module, num_frozen: int) -> None:
    """Let the embeddings and the lowest layers keep their weights.

    Args:
        module: The network; it is changed.
        num_frozen: Layers that do not learn; 0 freezes nothing.

    Raises:
        ConfigError: The network has fewer layers.

    Source: Lee, Tang, Lin 2019, "What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning", section 3,
    arXiv:1911.03090.
    """
    if not num_frozen:
        return
    depths = parameter_depths(module)
    num_layers = max(depths.values()) - 1
    if num_frozen > num_layers:
        raise ConfigError(
            f"The 'frozen_layers' parameter of train must be at most {num_layers} for this model. Got {num_frozen} "
            "instead.",
            hint="Freeze fewer layers.",
        )
    for name, parameter in module.named_parameters():
        # Depths are counted from the head, so the lowest layers have the greatest ones.
        if depths[name] > num_layers - num_frozen:
            parameter.requires_grad_(False)


def _depth(name: str, layers: dict[str, int], num_layers: int) -> int:
    if name in layers:
        return num_layers - layers[name]
    return num_layers + 1 if EMBEDDINGS.search(name) else 0
