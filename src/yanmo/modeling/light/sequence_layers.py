"""What the light networks that read token ids are made of; it knows no text. No result depends on padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "EMBEDDING_INIT",
    "PAD_ID",
    "NgramEmbedding",
    "read_units",
    "reorder",
    "reversed_positions",
    "token_embedding",
]

PAD_ID = 0
EMBEDDING_INIT = 0.1
FACTORS = (1_000_003, 8_191, 131_071)
"""Odd numbers that spread the ids of neighbours over the buckets; products of ids with them stay far below 2^63."""


def token_embedding(vocab_size: int, embedding_size: int) -> nn.Embedding:
    """Return an embedding whose row of padding is zero."""
    embedding = nn.Embedding(vocab_size, embedding_size, padding_idx=PAD_ID)
    nn.init.normal_(embedding.weight, std=EMBEDDING_INIT)
    return embedding


class NgramEmbedding(nn.Module):
    """Embeddings of a token with its neighbours: of the pairs to the left and to the right, and of all three.

    Pairs are hashed into one table within the network, so that whoever runs it has to know nothing but token ids.

    Source: Zhang, Yang 2018, "Chinese NER Using Lattice LSTM", section 3.1.1 (embeddings of character bigrams),
    arXiv:1805.02023. Differs: hashed, of both neighbours, learned from nothing.
    """

    def __init__(self, *, num_buckets: int, size: int) -> None:
        super().__init__()
        self.num_buckets = num_buckets
        self.table = nn.Embedding(num_buckets, size)
        nn.init.normal_(self.table.weight, std=EMBEDDING_INIT)

    def forward(self, input_ids_BT: Tensor) -> Tensor:
        """Return what stands for the neighbourhood of every token, shape (B, T, 3 * size)."""
        left_BT = functional.pad(input_ids_BT[:, :-1], (1, 0), value=PAD_ID)
        right_BT = functional.pad(input_ids_BT[:, 1:], (0, 1), value=PAD_ID)
        this, before, after = FACTORS
        pairs = (
            left_BT * before + input_ids_BT * this,
            input_ids_BT * before + right_BT * this,
            left_BT * before + input_ids_BT * this + right_BT * after,
        )
        # The number of buckets is a power of two, so this is the rest of a division by it.
        return torch.cat([self.table(torch.remainder(one, self.num_buckets)) for one in pairs], dim=2)


def read_units(states_BTD: Tensor, units_U: Tensor) -> Tensor:
    """Return the states of some places of a batch, shape (U, D).

    Args:
        states_BTD: Of all tokens.
        units_U: Places among all B * T, int64.
    """
    return states_BTD.reshape(-1, states_BTD.shape[2]).index_select(0, units_U)


def reversed_positions(attention_mask_BT: Tensor) -> Tensor:
    """Return where to read from so that each text runs backwards and its padding stays; its own inverse."""
    positions_BT = torch.arange(attention_mask_BT.shape[1], device=attention_mask_BT.device).expand_as(
        attention_mask_BT
    )
    lengths_B1 = attention_mask_BT.to(torch.int64).sum(dim=1, keepdim=True)
    return torch.where(positions_BT < lengths_B1, lengths_B1 - 1 - positions_BT, positions_BT)


def reorder(states_BTD: Tensor, positions_BT: Tensor) -> Tensor:
    """Return the states of each text in another order of its places."""
    return states_BTD.gather(1, positions_BT.unsqueeze(2).expand(-1, -1, states_BTD.shape[2]))
