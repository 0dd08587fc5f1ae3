"""The light network that reads a sentence for its tree: LstmParser; ids, kinds and places in, states of words out.

It is a plain module; it knows no tokenizer, no head of trees and no file. No result depends on padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yanmo.modeling.light.sequence_layers import BothWays, read_units, token_embedding

__all__ = ["LstmParser"]


class LstmParser(nn.Module):
    """Several LSTMs in each direction, one over the other, which read tokens and what kind of word each is a part of.

    Source: Dozat, Manning 2017, "Deep Biaffine Attention for Neural Dependency Parsing", section 3.2 and table 1,
    arXiv:1611.01734.
    Differs: tokens are parts of words, so no word is unknown, and embeddings are learned with the rest; all four
    vectors of a word come from one product; states of a layer are dropped, and nothing within it.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        num_kinds: int,
        num_classes: int,
        embedding_size: int,
        kind_size: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = token_embedding(vocab_size, embedding_size)
        self.kinds = token_embedding(num_kinds + 1, kind_size)
        # Each by itself, so that the network learns to do with the one or the other.
        self.token_dropout = nn.Dropout1d(token_dropout)
        self.kind_dropout = nn.Dropout1d(token_dropout)
        widths = [embedding_size + kind_size, *[2 * hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(BothWays(width, hidden_size) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.out_dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden_size, num_classes)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor, kinds_BT: Tensor, units_U: Tensor) -> Tensor:
        """Return states_US.

        Args:
            input_ids_BT: Token ids, int64, shape (B, T), padded on the right.
            attention_mask_BT: 1 at tokens, 0 at padding, shape (B, T).
            kinds_BT: The kind of each token's word, from 1, 0 where there is none, shape (B, T).
            units_U: Where the words' first tokens are among all B * T places, int64, shape (U,).
        """
        read = [self.token_dropout(self.embedding(input_ids_BT)), self.kind_dropout(self.kinds(kinds_BT))]
        states_BTD = torch.cat(read, dim=2)
        for layer in self.layers:
            states_BTD = layer(self._dropped(states_BTD), attention_mask_BT)
        states_US: Tensor = self.out(self.out_dropout(read_units(states_BTD, units_U)))
        return states_US

    def _dropped(self, states_BTD: Tensor) -> Tensor:
        """Return states with the same numbers dropped at all places of a text."""
        if not self.training:
            return states_BTD
        mask_B1D: Tensor = self.dropout(torch.ones_like(states_BTD[:, :1]))
        return states_BTD * mask_B1D
