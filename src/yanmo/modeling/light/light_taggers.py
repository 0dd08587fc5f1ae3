"""The light networks that label every unit of a text: CnnTagger and LstmTagger, each built from a few sizes.

They are plain modules: ids and places in, scores out; they know no tokenizer and no file. No result depends on padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.modeling.light.sequence_layers import (
    TokenSizes,
    read_units,
    reorder,
    reversed_positions,
    token_layers,
)

__all__ = ["CnnTagger", "LstmTagger"]


class CnnTagger(nn.Module):
    """Convolutions of several widths around every token, and over their results another one.

    Source: Collobert et al. 2011, "Natural Language Processing (Almost) from Scratch", section 3.2.1 (window approach),
    arXiv:1103.0398. Differs: windows of several widths, two layers of them, embeddings of neighbours.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        kernel_sizes: Sequence[int],
        num_filters: int,
        embedding_dropout: float,
        dropout: float,
        **tokens: Unpack[TokenSizes],
    ) -> None:
        super().__init__()
        self.embedding, self.ngrams, width = token_layers(**tokens)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.first = nn.ModuleList(nn.Conv1d(width, num_filters, size) for size in kernel_sizes)
        self.second = nn.Conv1d(num_filters * len(kernel_sizes), num_filters * len(kernel_sizes), 3)
        self.out_dropout = nn.Dropout(dropout)
        self.out = nn.Linear(num_filters * len(kernel_sizes), num_classes)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor, units_U: Tensor) -> Tensor:
        """Return logits_UC.

        Args:
            input_ids_BT: Token ids, int64, shape (B, T), padded on the right.
            attention_mask_BT: 1 at tokens, 0 at padding, shape (B, T).
            units_U: Where the units' first tokens are among all B * T places, int64, shape (U,).
        """
        read_BTD = torch.cat([self.embedding(input_ids_BT), self.ngrams(input_ids_BT)], dim=2)
        mask_B1T = attention_mask_BT.unsqueeze(1).to(read_BTD.dtype)
        states_BDT = self.embedding_dropout(read_BTD).transpose(1, 2) * mask_B1T
        states_BFT = torch.cat([functional.relu(_around(one, states_BDT)) for one in self.first], dim=1) * mask_B1T
        # What is learned last is added, so that the first layer's answer is there from the beginning.
        states_BFT = states_BFT + functional.relu(_around(self.second, self.out_dropout(states_BFT)))
        logits_UC: Tensor = self.out(self.out_dropout(read_units(states_BFT.transpose(1, 2), units_U)))
        return logits_UC


def _around(convolution: nn.Module, states_BDT: Tensor) -> Tensor:
    """Return a convolution's answer at every place, with zeros beyond both ends."""
    reach = int(convolution.kernel_size[0]) // 2  # type: ignore[index]
    # Padded by itself, not by the convolution: as 8-bit weights it becomes a plain product.
    return convolution(functional.pad(states_BDT, (reach, reach)))  # type: ignore[no-any-return]


class LstmTagger(nn.Module):
    """Two LSTMs, one in each direction, over tokens and their neighbours.

    Source: Huang, Xu, Yu 2015, "Bidirectional LSTM-CRF Models for Sequence Tagging", section 2.2, arXiv:1508.01991.
    Differs: the chain of tags stands in ``label_chain``; embeddings of neighbours. The backward LSTM reads each
    text from its own last token, so padding is never read before a token.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        hidden_size: int,
        dropout: float,
        token_dropout: float,
        **tokens: Unpack[TokenSizes],
    ) -> None:
        super().__init__()
        self.embedding, self.ngrams, width = token_layers(**tokens)
        self.token_dropout = nn.Dropout1d(token_dropout)
        self.forward_lstm = nn.LSTM(width, hidden_size, batch_first=True)
        self.backward_lstm = nn.LSTM(width, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.out_dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden_size + width, num_classes)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor, units_U: Tensor) -> Tensor:
        """Return logits_UC; arguments as those of :class:`CnnTagger`."""
        tokens_BTD = self.token_dropout(self.embedding(input_ids_BT))
        read_BTD = self.dropout(torch.cat([tokens_BTD, self.ngrams(input_ids_BT)], dim=2))
        positions_BT = reversed_positions(attention_mask_BT)
        forward_BTH, _ = self.forward_lstm(read_BTD)
        backward_BTH, _ = self.backward_lstm(reorder(read_BTD, positions_BT))
        # What was read goes to the end beside the states: n-grams tell much by themselves.
        states_BTD = torch.cat([forward_BTH, reorder(backward_BTH, positions_BT), read_BTD], dim=2)
        logits_UC: Tensor = self.out(self.out_dropout(read_units(states_BTD, units_U)))
        return logits_UC
