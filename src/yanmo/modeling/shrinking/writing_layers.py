"""A model that writes a text from another without some of the layers that write, which take most of its time.

Source: Shleifer, Rush 2020, "Pre-trained Summarization Distillation", section 3, arXiv:2010.13002 (shrink, then go on).
Differs: the layers that go are those without which the loss is least, one after the other, and not evenly spaced ones.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from yanmo.errors import ConfigError

__all__ = ["cut_writing_layers"]

LAYER = re.compile(r"^(.*\bdecoder\.(?:block|layers)\.)(\d+)(\..*)$")
COUNTS = ("num_decoder_layers", "decoder_layers")
"""What families' configs call the number of layers that write."""


def cut_writing_layers(module: Any, count: int, measure: Callable[[nn.Module], float]) -> nn.Module:
    """Return a network without some of its layers that write.

    Args:
        module: A network of ``AutoModelForSeq2SeqLM``; it stays as it is.
        count: Layers to leave out.
        measure: From a network to its loss.

    Raises:
        ConfigError: The network has no more layers than that, or none that can be told apart.
    """
    numbers = [int(found[2]) for name in module.state_dict() if (found := LAYER.match(name))]
    kept = sorted(set(numbers))
    if count >= len(kept):
        raise ConfigError(
            f"The 'layers' parameter of prune must be less than {len(kept)}, those of {type(module).__name__} that "
            f"write. Got {count} instead.",
            hint="Leave fewer layers out.",
        )
    for _ in range(count):
        # T5's first layer holds what heads add for distances, for all layers.
        choices = [[one for one in kept if one != gone] for gone in kept[1:]]
        kept = min(choices, key=lambda layers: measure(_with_layers(module, layers)))
    return _with_layers(module, kept)


def _with_layers(module: Any, layers: Sequence[int]) -> nn.Module:
    """Return a network with some of the layers that write, numbered anew."""
    config = copy.deepcopy(module.config)
    name = next(one for one in COUNTS if getattr(config, one, None) is not None)
    setattr(config, name, len(layers))
    smaller: nn.Module = type(module)(config)
    places = {layer: place for place, layer in enumerate(layers)}
    weights = {}
    for key, value in module.state_dict().items():
        found = LAYER.match(key)
        if found is None:
            weights[key] = value
        elif int(found[2]) in places:
            weights[f"{found[1]}{places[int(found[2])]}{found[3]}"] = value
    smaller.load_state_dict(weights)
    return smaller.eval()
