"""The embeddings moved in the direction that hurts most, for one backward pass; it knows no loss and no data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from yanmo.errors import ConfigError

__all__ = ["embedding_weight", "moved"]

# TextCnn and BiLstm have the first, NgramNet the second; encoders are asked for theirs.
NAMES = ("embedding.weight", "embedding")


def embedding_weight(module: nn.Module) -> nn.Parameter:
    """Return the weight of a network's token or n-gram embeddings.

    Raises:
        ConfigError: It has none that learns.
    """
    parameters = dict(module.named_parameters())
    found = next((parameters[name] for name in NAMES if name in parameters), None)
    if found is None and hasattr(module, "get_input_embeddings"):
        found = module.get_input_embeddings().weight  # type: ignore[operator]
    if found is None or not found.requires_grad:
        raise ConfigError(
            "The 'fgm_epsilon' parameter of train needs embeddings that learn; those of this model do not.",
            hint="Leave out fgm_epsilon, or frozen_layers and lora_rank.",
        )
    return found


@contextlib.contextmanager
def moved(weight: nn.Parameter, gradient: Tensor, epsilon: float) -> Iterator[None]:
    """Move embeddings by epsilon * gradient / ‖gradient‖ inside the block; then they are, bit for bit, what they were.

    Args:
        weight: The embeddings, shape (V, D).
        gradient: Of the loss of a whole batch by them, same shape; a gradient of zero moves nothing.
        epsilon: Length of the move, > 0.

    Source: Miyato, Dai, Goodfellow 2017, "Adversarial Training Methods for Semi-Supervised Text Classification",
    equations 3-5, arXiv:1605.07725.
    Differs: the table of embeddings is moved, once for the batch, not each text's sequence of normalized embeddings.
    """
    # A copy: what is added to a float and taken away again does not come back bit for bit.
    kept = weight.detach().clone()
    length = gradient.norm()
    with torch.no_grad():
        # Chosen on the device: asking for the length would wait for it.
        weight.add_(gradient * torch.where(length > 0, epsilon / length, 0.0))
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(kept)
