"""Encoders that give one vector a text: the states of its tokens, pooled; it knows no training and no artifact.

The encoder stays transformers' own and is saved as such, with its way of pooling noted in its config.json. What is kept
of a vector, and whether its length counts, is the matter of whoever reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from yanmo.errors import ModelError
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.networks import encoders, fast_encoder
from yanmo.modeling.networks.pooling import classifier_class, mean_of_tokens, own_pooling, set_pooling
from yanmo.models import MEAN_TYPES, can_mean

if TYPE_CHECKING:
    from transformers.modeling_outputs import SequenceClassifierOutput

__all__ = ["VectorNetwork", "load_vectors", "open_vectors", "score_vectors"]


class VectorNetwork(nn.Module):
    """An encoder and how the states of a text's tokens become its vector.

    Attributes:
        base_model: The encoder.
        config: Its config, with ``pooling`` where that is not the first token.
    """

    def __init__(self, base_model: Any) -> None:
        super().__init__()
        self.base_model = base_model
        self.config = base_model.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **others: Any) -> SequenceClassifierOutput:
        """Return the vectors of a batch where a classifier has its scores.

        Args:
            input_ids: int64, shape (B, T).
            attention_mask: 1 at tokens and 0 at padding, shape (B, T).
            **others: What the encoder takes besides, such as ``token_type_ids``.
        """
        from transformers.modeling_outputs import SequenceClassifierOutput

        states_BTD = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **others)[0]
        return SequenceClassifierOutput(logits=self.pool(states_BTD, attention_mask))

    def pool(self, states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Return the vectors_BD of the states of texts' tokens."""
        return mean_of_tokens(states_BTD, mask_BT) if own_pooling(self.config) == "mean" else states_BTD[:, 0]


def open_vectors(folder: Path, pooling: Literal["first", "mean"]) -> VectorNetwork:
    """Return the encoder of a checkpoint, with or without a head, in 32 bits.

    Args:
        folder: A local one.
        pooling: How its vectors are made.

    Raises:
        ModelError: There is no whole encoder, or its family reads texts otherwise.
    """
    config = encoders.read_config(folder)
    if not can_mean(config.model_type):
        raise ModelError(
            f"{folder} is of the family {config.model_type}, which gives no vectors here.",
            hint=f"The families are: {', '.join(sorted(MEAN_TYPES))}.",
        )
    set_pooling(config, pooling)
    # Through the class of its classifiers, since that knows which weights belong to an encoder; the head is let go.
    module: Any
    module, _ = encoders.open_network(classifier_class(config), folder, config)
    base: Any = module.base_model
    # Only the head has read it: its weights would be saved for nothing.
    if getattr(base, "pooler", None) is not None:
        base.pooler = None
    return VectorNetwork(base.eval()).eval()


def load_vectors(folder: Path) -> VectorNetwork:
    """Return the encoder of a folder that was saved with its way of pooling, ready to answer.

    Raises:
        ModelError: The folder does not hold one, or not all of its weights.
    """
    return open_vectors(folder, "mean" if own_pooling(encoders.read_config(folder)) == "mean" else "first")


def score_vectors(module: nn.Module, batch: TensorBatch) -> Tensor:
    """Return the vectors_BD of a batch of token ids, by the fast forward pass where the encoder has one."""
    network: Any = module
    if fast_encoder.can_read(network):
        vectors_BD: Tensor = network.pool(fast_encoder.read_states(network, batch), batch["attention_mask"])
        return vectors_BD
    stock_BD: Tensor = network(**batch).logits
    return stock_BD
