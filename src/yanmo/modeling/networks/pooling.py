"""Encoders whose classifier reads the mean of all tokens' states, where stock classes read the first token's.

Sentence encoders are trained to say something by that mean, and their first token says little. The encoder stays
transformers' own, under the same names of weights; its config.json has ``"pooling": "mean"``.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from yanmo.errors import ConfigError
from yanmo.modeling.pretrained.sentence_settings import read_sentence_settings
from yanmo.models import can_mean

if TYPE_CHECKING:
    from transformers.modeling_outputs import SequenceClassifierOutput

__all__ = ["MeanPooling", "classifier_class", "find_pooling", "mean_of_tokens", "own_pooling", "set_pooling"]


class MeanPooling:
    """Beside a stock classifier's class, a head of one layer over the mean of the tokens' states."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)  # type: ignore[call-arg]
        self._replace_head(config)

    def _replace_head(self: Any, config: Any) -> None:
        base = self.base_model
        for name, child in list(self.named_children()):
            if child is not base:
                delattr(self, name)
        # Only the stock head reads it: its weights would be computed with and saved for nothing.
        if getattr(base, "pooler", None) is not None:
            base.pooler = None
        # Families name it differently, and a classifier_dropout of None means that of the hidden states.
        given = (getattr(config, name, None) for name in ("classifier_dropout", "hidden_dropout_prob", "dropout"))
        self.dropout = nn.Dropout(next((float(one) for one in given if one is not None), 0.0))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        # Again: what the stock class has initialized was the head that is gone.
        self.post_init()

    def forward(
        self: Any, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None, **others: Any
    ) -> SequenceClassifierOutput:
        """Return the scores of a batch, as a stock class does.

        Args:
            input_ids: int64, shape (B, T).
            attention_mask: 1 at tokens and 0 at padding, shape (B, T).
            token_type_ids: int64, shape (B, T), of networks that have them.
            **others: What the encoder takes besides.
        """
        from transformers.modeling_outputs import SequenceClassifierOutput

        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states_BTD = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **types, **others)[0]
        return SequenceClassifierOutput(
            logits=self.classifier(self.dropout(mean_of_tokens(states_BTD, attention_mask)))
        )


def mean_of_tokens(states_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the mean of the states of each text's tokens, shape (B, D); padding counts nothing."""
    weights_BT1 = mask_BT.to(states_BTD.dtype).unsqueeze(-1)
    mean_BD: Tensor = (states_BTD * weights_BT1).sum(dim=1) / weights_BT1.sum(dim=1)
    return mean_BD


def classifier_class(config: Any) -> Any:
    """Return the class with ``from_pretrained`` that holds a network of a config.json."""
    # Here, since light models pass through this module, too, and need none of it.
    from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoModelForSequenceClassification

    if getattr(config, "pooling", "first") != "mean":
        return AutoModelForSequenceClassification
    return _with_mean(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)])


@functools.cache
def _with_mean(stock: type) -> type:
    return type(f"MeanPooled{stock.__name__}", (MeanPooling, stock), {"__module__": __name__})


def own_pooling(config: Any) -> str:
    """Return what a checkpoint's classifier reads, or would read: ``first`` or ``mean``."""
    return str(getattr(config, "pooling", "first"))


def set_pooling(config: Any, pooling: Literal["first", "mean"]) -> None:
    """Note in a checkpoint's config what its classifier is to read.

    Args:
        config: Of the checkpoint; it is changed.
        pooling: What is wanted.

    Raises:
        ConfigError: The mean, of a network whose classifier cannot read it.
    """
    if pooling == "mean" and not can_mean(config.model_type):
        raise ConfigError(
            f"The 'pooling' parameter of train does not suit {config.model_type}: its classifier cannot read the mean.",
            hint="Leave pooling out.",
        )
    # A config that says nothing means the first token, and it stays a plain one without a key of ours.
    if pooling != own_pooling(config):
        config.pooling = pooling


def find_pooling(config: Any, folder: Path) -> Literal["first", "mean"] | None:
    """Return what a checkpoint was trained with, None where nothing tells: neither a classifier nor a note beside it.

    Args:
        config: Of the checkpoint.
        folder: Where it stands; sentence encoders have a note of what the vectors of their texts are.
    """
    if any(name.endswith("ForSequenceClassification") for name in getattr(config, "architectures", None) or ()):
        return "mean" if own_pooling(config) == "mean" else "first"
    if not can_mean(config.model_type):
        return "first"
    if own_pooling(config) == "mean":
        return "mean"
    noted = read_sentence_settings(folder).pooling
    return noted if noted in ("first", "mean") else None  # type: ignore[return-value]
