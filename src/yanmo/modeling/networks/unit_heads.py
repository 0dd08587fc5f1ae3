"""The scores of the units of texts, from the states of an encoder's tokens; it knows no training and no file.

A unit's state is that of its first token. States are chosen before the head, which computes nothing for other tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from yanmo.answers.tags import TagScheme
from yanmo.modeling.features.ragged import Score, TensorBatch
from yanmo.modeling.light.label_chain import LabelChain
from yanmo.modeling.light.sequence_layers import read_units
from yanmo.modeling.networks import fast_encoder, heads
from yanmo.modeling.networks.dropout import sampled

__all__ = ["chained", "score_fast", "score_stock"]


def score_fast(module: nn.Module, batch: TensorBatch, *, num_samples: int = 1) -> Tensor:
    """Return logits_UC; in training, U rows for each of so many dropout masks of the head.

    Args:
        module: A classifier of tokens for which :func:`fast_encoder.can_read` holds.
        batch: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, int64, shape (B, T), and ``units``,
            shape (U,).
        num_samples: Dropout masks of the head.
    """
    return _score(module, fast_encoder.read_states(module, batch), batch["units"], num_samples)


def score_stock(module: nn.Module, batch: TensorBatch, *, num_samples: int = 1) -> Tensor:
    """Return what :func:`score_fast` does, of any classifier of tokens, by the encoder's own forward pass."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "units"}
    base: Any = module.base_model
    return _score(module, base(**inputs)[0], batch["units"], num_samples)


def chained(module: nn.Module, score: Score, labels: Sequence[str]) -> Score:
    """Return a score that tells each unit's tags in their row, by a chain that becomes a part of the network.

    Args:
        module: It is changed: its chain is ``label_chain``.
        score: From it and a batch to logits_UC.
        labels: The tags, in the order of the columns; one by one they are left where no scheme ties them.
    """
    if TagScheme.of(labels).is_plain:
        return score
    chain = LabelChain(labels)
    module.label_chain = chain

    def scored(module: nn.Module, batch: TensorBatch) -> Tensor:
        logits_UC, (num_rows, width) = score(module, batch), batch["input_ids"].shape
        lengths_B = torch.bincount(batch["units"] // width, minlength=num_rows)
        # Under several masks of the head all units come once, then all of them again.
        num_copies = len(logits_UC) // max(len(batch["units"]), 1)
        marginals_UC: Tensor = chain(logits_UC, lengths_B.repeat(num_copies))
        return marginals_UC

    return scored


def _score(module: nn.Module, states_BTD: Tensor, units_U: Tensor, num_samples: int) -> Tensor:
    _, layer = heads.output_layer(module)
    dropout = getattr(module, "dropout", nn.Identity())
    # ModernBERT has a hidden layer between.
    hidden: Any = getattr(module, "head", nn.Identity())
    logits_UC: Tensor = layer(sampled(dropout, hidden(read_units(states_BTD, units_U)), num_samples))
    return logits_UC
