"""What the light networks that read token ids are made of; it knows no text. No result depends on padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "EMBEDDING_INIT",
    "PAD_ID",
    "BothWays",
    "NgramEmbedding",
    "TokenSizes",
    "read_units",
    "reorder",
    "reversed_positions",
    "token_embedding",
    "token_layers",
]

PAD_ID = 0
EMBEDDING_INIT = 0.1
REACH = 2
TEMPLATES = ((-2,), (-1,), (1,), (2,), (-2, -1), (-1, 0), (0, 1), (1, 2), (-1, 1), (-1, 0, 1), (-2, -1, 0), (0, 1, 2))
"""Which neighbors make an n-gram, by how far to the right of the token they stand."""
FACTOR, LARGE_PRIME = 1_000_003, 2_147_483_647
"""They spread ids over the buckets; products stay far below 2^63."""


def token_embedding(vocab_size: int, embedding_size: int) -> nn.Embedding:
    """Return an embedding whose row of padding is zero."""
    embedding = nn.Embedding(vocab_size, embedding_size, padding_idx=PAD_ID)
    nn.init.normal_(embedding.weight, std=EMBEDDING_INIT)
    return embedding


class NgramEmbedding(nn.Module):
    """The sum of the embeddings of what stands around a token: tokens to both sides, pairs and threes of them.

    They are hashed into one table within the network, so that whoever runs it has to know nothing but token ids.

    Source: Zhang, Yang 2018, "Chinese NER Using Lattice LSTM", section 3.1.1 (embeddings of character bigrams),
    arXiv:1805.02023; Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification", section 2 (hashing, sums),
    arXiv:1607.01759. Differs: of the neighborhood of every token, learned from nothing.
    """

    def __init__(self, *, num_buckets: int, size: int, dropout: float) -> None:
        super().__init__()
        self.num_buckets = num_buckets
        self.table = nn.Embedding(num_buckets, size)
        # The sum is as large as an embedding of one token.
        nn.init.normal_(self.table.weight, std=EMBEDDING_INIT / len(TEMPLATES) ** 0.5)
        # Of whole n-grams: a network that could rely on each would learn the training texts by heart.
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, input_ids_BT: Tensor) -> Tensor:
        """Return what stands for the neighborhood of every token, shape (B, T, size)."""
        width = input_ids_BT.shape[1]
        padded = functional.pad(input_ids_BT, (REACH, REACH), value=PAD_ID)
        near = {shift: padded[:, REACH + shift : REACH + shift + width] for shift in range(-REACH, REACH + 1)}
        hashed_KBT = torch.stack(
            [_hash([near[one] for one in place], number) for number, place in enumerate(TEMPLATES)]
        )
        # All at once: each look-up of its own would make a gradient as large as the table.
        found = self.table(torch.remainder(hashed_KBT, self.num_buckets))
        kept = self.dropout(found.flatten(0, 1)) if self.training else found
        summed_BTD: Tensor = kept.view(found.shape).sum(dim=0)
        return summed_BTD


def _hash(tokens: Sequence[Tensor], number: int) -> Tensor:
    # The number of the template keeps the same tokens at other places apart.
    hashed_BT = torch.full_like(tokens[0], number + 1)
    for one_BT in tokens:
        hashed_BT = torch.remainder(hashed_BT * FACTOR + one_BT, LARGE_PRIME)
    return hashed_BT


class TokenSizes(TypedDict):
    """How large that is by which a light network knows a token: its embedding, and that of what stands around it."""

    vocab_size: int
    embedding_size: int
    num_buckets: int
    ngram_size: int
    ngram_dropout: float


def token_layers(**sizes: Unpack[TokenSizes]) -> tuple[nn.Embedding, NgramEmbedding, int]:
    """Return the embedding of tokens, that of what stands around each, and the width of both together."""
    embedding = token_embedding(sizes["vocab_size"], sizes["embedding_size"])
    ngrams = NgramEmbedding(num_buckets=sizes["num_buckets"], size=sizes["ngram_size"], dropout=sizes["ngram_dropout"])
    return embedding, ngrams, sizes["embedding_size"] + sizes["ngram_size"]


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


class BothWays(nn.Module):
    """An LSTM in each direction; the backward one reads each text from its own last token."""

    def __init__(self, width: int, hidden_size: int) -> None:
        super().__init__()
        self.forward_lstm = nn.LSTM(width, hidden_size, batch_first=True)
        self.backward_lstm = nn.LSTM(width, hidden_size, batch_first=True)

    def forward(self, read_BTD: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """Return the states of both side by side."""
        positions_BT = reversed_positions(attention_mask_BT)
        forward_BTH, _ = self.forward_lstm(read_BTD)
        backward_BTH, _ = self.backward_lstm(reorder(read_BTD, positions_BT))
        return torch.cat([forward_BTH, reorder(backward_BTH, positions_BT)], dim=2)
