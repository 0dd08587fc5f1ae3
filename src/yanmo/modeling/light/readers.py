"""The light network that reads a question and a passage: LstmReader; ids, types and places in, scores out.

It is a plain module; it knows no tokenizer and no file. No result depends on padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.modeling.light.sequence_layers import BothWays, NgramEmbedding, read_units, token_embedding

__all__ = ["LstmReader"]

NUM_MATCHES = 3
"""Features of a token: that the other text has it, has it with the token before, and with both neighbors."""
LOWEST = -1e4


class LstmReader(nn.Module):
    """Two LSTMs in each direction over the question and the passage behind it, which see what both have in common.

    Every token is told whether the other text has it, with which neighbors, and what of the other text is most like it,
    by its embedding, and between the LSTMs by its state. A unit's scores are of its state and of the question's.

    Source: Chen, Fisch, Weston, Bordes 2017, "Reading Wikipedia to Answer Open-Domain Questions", section 3.2 (exact
    match, aligned question embedding, bilinear start and end), arXiv:1704.00051.
    Differs: one sequence for both texts; n-grams match and not lemmas; embeddings are learned with the rest; states
    are aligned, too.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        num_classes: int,
        embedding_size: int,
        num_buckets: int,
        ngram_size: int,
        hidden_size: int,
        dropout: float,
        token_dropout: float,
        ngram_dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = token_embedding(vocab_size, embedding_size)
        self.token_dropout = nn.Dropout1d(token_dropout)
        self.ngrams = NgramEmbedding(num_buckets=num_buckets, size=ngram_size, dropout=ngram_dropout)
        self.align = nn.Linear(embedding_size, embedding_size)
        self.dropout = nn.Dropout(dropout)
        width = 2 * embedding_size + ngram_size + NUM_MATCHES + 1
        self.first = BothWays(width, hidden_size)
        self.align_states = nn.Linear(2 * hidden_size, hidden_size)
        self.second = BothWays(6 * hidden_size + NUM_MATCHES + 1, hidden_size)
        self.question = nn.Linear(2 * hidden_size, 1, bias=False)
        self.asked = nn.Linear(2 * hidden_size, 2 * hidden_size)
        self.out_dropout = nn.Dropout(dropout)
        self.out = nn.Linear(6 * hidden_size, num_classes)

    def forward(
        self, input_ids_BT: Tensor, attention_mask_BT: Tensor, token_type_ids_BT: Tensor, units_U: Tensor
    ) -> Tensor:
        """Return scores_UC.

        Args:
            input_ids_BT: Token ids, int64, shape (B, T), padded on the right.
            attention_mask_BT: 1 at tokens, 0 at padding, shape (B, T).
            token_type_ids_BT: 0 at the question, 1 at the passage, shape (B, T).
            units_U: Where the units' first tokens are among all B * T places, int64, shape (U,).
        """
        is_token_BT, is_passage_BT = attention_mask_BT == 1, token_type_ids_BT == 1
        # Tokens of the other text of the pair, for each token.
        across_BTT = (is_passage_BT[:, :, None] != is_passage_BT[:, None, :]) & is_token_BT[:, None, :]
        told_BTF = _told(input_ids_BT, across_BTT, is_passage_BT)
        tokens_BTD = self.token_dropout(self.embedding(input_ids_BT))
        keys_BTD = functional.relu(self.align(tokens_BTD))
        aligned_BTD = _aligned(keys_BTD, tokens_BTD, across_BTT)
        read_BTD = self.dropout(torch.cat([tokens_BTD, aligned_BTD, self.ngrams(input_ids_BT)], dim=2))
        states_BTD = self.dropout(self.first(torch.cat([read_BTD, told_BTF], dim=2), attention_mask_BT))
        keys_BTD = functional.relu(self.align_states(states_BTD))
        aligned_BTD = _aligned(keys_BTD, states_BTD, across_BTT)
        seen_BTD = torch.cat([states_BTD, aligned_BTD, states_BTD * aligned_BTD, told_BTF], dim=2)
        states_BTD = self.second(seen_BTD, attention_mask_BT)
        weights_BT = self.question(states_BTD).squeeze(2)
        weights_BT = weights_BT.masked_fill(is_passage_BT | ~is_token_BT, LOWEST).softmax(dim=1)
        asked_BD = self.asked((weights_BT[:, :, None] * states_BTD).sum(dim=1))
        row_U = units_U // input_ids_BT.shape[1]
        units_UD, asked_UD = self.out_dropout(read_units(states_BTD, units_U)), asked_BD.index_select(0, row_U)
        scores_UC: Tensor = self.out(torch.cat([units_UD, asked_UD, units_UD * asked_UD], dim=1))
        return scores_UC


def _told(input_ids_BT: Tensor, across_BTT: Tensor, is_passage_BT: Tensor) -> Tensor:
    """Return for each token whether the other text has it, alone and with neighbors, and which text it is of."""
    same_BTT = ((input_ids_BT[:, :, None] == input_ids_BT[:, None, :]) & across_BTT).float()
    before_BTT = same_BTT * functional.pad(same_BTT, (1, 0, 1, 0))[:, :-1, :-1]
    both_BTT = before_BTT * functional.pad(same_BTT, (0, 1, 0, 1))[:, 1:, 1:]
    found = [one.amax(dim=2) for one in (same_BTT, before_BTT, both_BTT)]
    return torch.stack([*found, is_passage_BT.float()], dim=2)


def _aligned(keys_BTD: Tensor, values_BTD: Tensor, across_BTT: Tensor) -> Tensor:
    """Return of every token what of the other text is like it: a mean, weighted by the likeness."""
    likeness_BTT = keys_BTD @ keys_BTD.transpose(1, 2)
    weights_BTT = likeness_BTT.masked_fill(~across_BTT, LOWEST).softmax(dim=2)
    # A text that stands alone has no other; every weight would be equal.
    weights_BTT = weights_BTT * across_BTT.any(dim=2, keepdim=True)
    return weights_BTT @ values_BTD
