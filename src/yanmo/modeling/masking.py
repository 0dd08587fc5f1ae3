"""Which tokens are hidden from a network, and what stands in their place; it knows no network and no loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from yanmo.modeling.features import Batch

__all__ = ["Masked", "Masking", "mask_tokens"]

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1


@dataclass(frozen=True)
class Masking:
    """How a network is made to guess.

    Attributes:
        ratio: Share of the words that are hidden, in (0, 1).
        mask_id: The id of the token that hides another.
        num_ids: Ids in the vocabulary.
        special_ids: Ids of tokens that are never hidden.
        keeps_some: Of the hidden tokens 10 % keep their id and 10 % get a random one; else all get ``mask_id``.
    """

    ratio: float
    mask_id: int
    num_ids: int
    special_ids: tuple[int, ...]
    keeps_some: bool = True


@dataclass(frozen=True)
class Masked:
    """A batch with hidden tokens.

    Attributes:
        input_ids_BT: What the network reads, int64.
        hidden_BT: Where it has to guess, bool.
    """

    input_ids_BT: Tensor
    hidden_BT: Tensor


def mask_tokens(batch: Batch, masking: Masking, generator: torch.Generator | None = None) -> Masked:
    """Return a batch in which a random share of the words is hidden, another one in every call.

    Args:
        batch: ``input_ids`` and ``attention_mask``, int64, and ``continues``, bool: whether a token is of the same word
            as the one before it; all of shape (B, T).
        masking: How much is hidden, and how.
        generator: Of the random numbers; by default torch's own, which a checkpoint holds.

    Source: Devlin et al. 2019, "BERT", section 3.1, arXiv:1810.04805 (80 / 10 / 10); Liu et al. 2019, "RoBERTa",
        section 4.1, arXiv:1907.11692 (dynamic); Cui et al. 2021, "Pre-Training with Whole Word Masking for Chinese
        BERT", section 3, arXiv:1906.08101; Wettig et al. 2023, "Should You Mask 15% in Masked Language Modeling?",
        section 3, arXiv:2202.08005.
    Differs: every word is hidden with that probability, so the share is exact over many rows, not in each.
    """
    ids_BT = batch["input_ids"]
    special = torch.tensor(masking.special_ids, device=ids_BT.device)
    may_hide_BT = batch["attention_mask"].bool() & ~torch.isin(ids_BT, special)
    chance_BT = torch.rand(ids_BT.shape, generator=generator, device=ids_BT.device)
    word_BT = (~batch["continues"]).cumsum(dim=1) - 1
    hidden_BT = may_hide_BT & (chance_BT.gather(1, word_BT.clamp_min(0)) < masking.ratio)
    if not masking.keeps_some:
        return Masked(ids_BT.masked_fill(hidden_BT, masking.mask_id), hidden_BT)
    fate_BT = torch.rand(ids_BT.shape, generator=generator, device=ids_BT.device)
    random_BT = torch.randint(masking.num_ids, ids_BT.shape, generator=generator, device=ids_BT.device)
    read_BT = ids_BT.masked_fill(hidden_BT & (fate_BT < MASK_SHARE), masking.mask_id)
    return Masked(torch.where(hidden_BT & (fate_BT >= 1 - RANDOM_SHARE), random_BT, read_BT), hidden_BT)
