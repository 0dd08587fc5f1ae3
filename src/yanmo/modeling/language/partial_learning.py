"""Which weights of a model that writes learn: all, low-rank changes of them, or higher layers; it knows no loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from yanmo.errors import ConfigError
from yanmo.modeling.networks.layer_depths import freeze

__all__ = ["few_learn", "merge_nothing"]


def merge_nothing() -> None:
    """Merge nothing, where all weights have learned."""


def few_learn(module: Any, *, lora_rank: int, frozen_layers: int) -> Callable[[], object]:
    """Let only adapters and higher layers learn, where that is asked for; return what merges the adapters.

    Args:
        module: The network; it is changed.
        lora_rank: Of the adapters; 0: there are none.
        frozen_layers: The embeddings and so many of the lowest layers keep their weights.

    Raises:
        ConfigError: Adapters do not suit the network.
    """
    if lora_rank and module.get_output_embeddings() is None:
        raise ConfigError(
            f"The 'lora_rank' parameter of train does not suit {type(module).__name__}, which has no attention.",
            hint="Leave lora_rank out: such a network is small.",
        )
    # Here and not above: most trainings need no peft.
    from yanmo.modeling.networks.adapters import add_adapters, merge_adapters

    adapters = add_adapters(module, lora_rank) if lora_rank else None
    if adapters is not None:
        # It has been learned already, unlike the head of a classifier.
        module.get_output_embeddings().requires_grad_(False)
    freeze(module, frozen_layers)
    return functools.partial(merge_adapters, adapters) if adapters is not None else merge_nothing
