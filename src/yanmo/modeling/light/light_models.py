"""The light networks: TextCnn, BiLstm, NgramNet, each built from a small architecture dict.

They are plain modules: ids in, scores out; they know no tokenizer and no file. No result depends on padding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.modeling.light.light_taggers import CnnTagger, LstmTagger
from yanmo.modeling.light.parsers import LstmParser
from yanmo.modeling.light.readers import LstmReader
from yanmo.modeling.light.sequence_layers import reorder, reversed_positions, token_embedding

__all__ = ["BiLstm", "NgramNet", "TextCnn", "build_light_model"]

NGRAM_INIT = 1e-3


class TextCnn(nn.Module):
    """Convolutions of several widths over token embeddings, each pooled to its largest value.

    Source: Kim 2014, "Convolutional Neural Networks for Sentence Classification", section 2, arXiv:1408.5882.
    Differs: windows may begin at any token and reach past the end, where there are zeros, so a text of one token has
    windows of every width; embeddings are learned from the training texts alone, with dropout on them and on tokens.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        num_classes: int,
        embedding_size: int,
        kernel_sizes: Sequence[int],
        num_filters: int,
        embedding_dropout: float,
        dropout: float,
        token_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = token_embedding(vocab_size, embedding_size)
        self.token_dropout = nn.Dropout1d(token_dropout)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding_size, num_filters, size) for size in kernel_sizes)
        self.out_dropout = nn.Dropout(dropout)
        self.out = nn.Linear(num_filters * len(kernel_sizes), num_classes)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """Return logits_BC.

        Args:
            input_ids_BT: Token ids, int64, shape (B, T), padded on the right.
            attention_mask_BT: 1 at tokens, 0 at padding, shape (B, T).
        """
        embedded_BTD = self.token_dropout(self.embedding(input_ids_BT))
        mask_B1T = attention_mask_BT.unsqueeze(1).to(embedded_BTD.dtype)
        embedded_BDT = self.embedding_dropout(embedded_BTD).transpose(1, 2) * mask_B1T
        pooled = [self._pool(convolution, embedded_BDT, mask_B1T) for convolution in self.convolutions]
        logits_BC: Tensor = self.out(self.out_dropout(torch.cat(pooled, dim=1)))
        return logits_BC

    @staticmethod
    def _pool(convolution: nn.Module, embedded_BDT: Tensor, mask_B1T: Tensor) -> Tensor:
        """Return the largest value of every filter over the windows that begin at a token, 0 if all are negative."""
        padding = int(convolution.kernel_size[0]) - 1  # type: ignore[index]
        # Windows that begin in the padding become 0, which ReLU gives at least anyway: they never win over a token's.
        windows_BFT = convolution(functional.pad(embedded_BDT, (0, padding))) * mask_B1T
        return functional.relu(windows_BFT.amax(dim=2))


class BiLstm(nn.Module):
    """Two LSTMs, one in each direction, and attention over their states.

    Source: Zhou et al. 2016, "Attention-Based Bidirectional Long Short-Term Memory Networks for Relation
    Classification", section 3.3, ACL P16-2034.
    Differs: the states of both directions are concatenated, not added. The backward LSTM reads each text from its own
    last token, so padding is never read before a token.
    """

    def __init__(
        self, *, vocab_size: int, num_classes: int, embedding_size: int, hidden_size: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = token_embedding(vocab_size, embedding_size)
        self.forward_lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.backward_lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.attention = nn.Linear(2 * hidden_size, 1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.out_dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden_size, num_classes)

    def forward(self, input_ids_BT: Tensor, attention_mask_BT: Tensor) -> Tensor:
        """Return logits_BC.

        Args:
            input_ids_BT: Token ids, int64, shape (B, T), padded on the right.
            attention_mask_BT: 1 at tokens, 0 at padding, shape (B, T).
        """
        embedded_BTD = self.dropout(self.embedding(input_ids_BT))
        positions_BT = reversed_positions(attention_mask_BT)
        forward_BTH, _ = self.forward_lstm(embedded_BTD)
        backward_BTH, _ = self.backward_lstm(reorder(embedded_BTD, positions_BT))
        states_BTD = torch.cat([forward_BTH, reorder(backward_BTH, positions_BT)], dim=2)
        scores_BT = self.attention(torch.tanh(states_BTD)).squeeze(2)
        scores_BT = scores_BT.masked_fill(attention_mask_BT == 0, torch.finfo(scores_BT.dtype).min)
        # Of a text without tokens all weights are equal; times the mask they are 0, and so is what it reads.
        weights_BT = torch.softmax(scores_BT, dim=1) * attention_mask_BT
        summary_BD = (weights_BT.unsqueeze(2) * states_BTD).sum(dim=1)
        logits_BC: Tensor = self.out(self.out_dropout(torch.tanh(summary_BD)))
        return logits_BC


class NgramNet(nn.Module):
    """The mean of hashed n-grams' embeddings and one hidden layer.

    Source: Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification", section 2, arXiv:1607.01759.
    Differs: a hidden layer with ReLU, dropout, and AdamW instead of plain gradient descent.
    """

    def __init__(
        self,
        *,
        num_buckets: int,
        num_classes: int,
        embedding_size: int,
        hidden_size: int,
        dropout: float,
        ngram_dropout: float,
    ) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(num_buckets, embedding_size).normal_(std=NGRAM_INIT))
        self.ngram_dropout = ngram_dropout
        self.dropout = nn.Dropout(dropout)
        self.out_dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(embedding_size, hidden_size)
        self.out = nn.Linear(hidden_size, num_classes)

    def forward(self, buckets_M: Tensor, offsets_B: Tensor) -> Tensor:
        """Return logits_BC; a text without n-grams has a mean of zeros.

        Args:
            buckets_M: The n-grams of all texts, one text after the other, int64, shape (M,).
            offsets_B: Where each text begins, int64, shape (B,).
        """
        if self.training and self.ngram_dropout:
            buckets_M, offsets_B = self._drop_ngrams(buckets_M, offsets_B)
        mean_BD = functional.embedding_bag(buckets_M, self.embedding, offsets_B, mode="mean")
        hidden_BH = functional.relu(self.hidden(self.dropout(mean_BD)))
        logits_BC: Tensor = self.out(self.out_dropout(hidden_BH))
        return logits_BC

    def _drop_ngrams(self, buckets_M: Tensor, offsets_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return a random part of the n-grams of every text, so that the network relies on none of them alone."""
        kept_M = torch.rand(buckets_M.shape, device=buckets_M.device) >= self.ngram_dropout
        # How many are kept before each place; read at the old offsets, that gives the new ones.
        num_before_M = torch.cumsum(kept_M, 0) - kept_M.long()
        # With the sum at the end, for a last text without n-grams begins behind all of them.
        num_before = torch.cat([num_before_M, kept_M.sum().unsqueeze(0)])
        return buckets_M[kept_M], num_before[offsets_B]


_CLASSES: dict[str, type[nn.Module]] = {"textcnn": TextCnn, "bilstm": BiLstm, "ngram": NgramNet}
_TAGGERS: dict[str, type[nn.Module]] = {"textcnn": CnnTagger, "bilstm": LstmTagger}
_OTHERS: dict[str, dict[str, type[nn.Module]]] = {
    "per_unit": _TAGGERS,
    "reads_kinds": {"bilstm": LstmParser},
    "reads_passages": {"bilstm": LstmReader},
}
"""Key of an architecture that is true to the classes that are meant then."""


def build_light_model(architecture: Mapping[str, Any]) -> nn.Module:
    """Return the untrained network of an architecture.

    Args:
        architecture: ``family`` (textcnn, bilstm or ngram), ``per_unit`` where it labels every unit of a text,
            ``reads_kinds`` where it reads the kind of each word for a tree, ``reads_passages`` where it finds answers,
            and the sizes that its class takes by keyword.
    """
    sizes = {key: value for key, value in architecture.items() if key not in ("family", "token_types", *_OTHERS)}
    classes = next((found for key, found in _OTHERS.items() if architecture.get(key)), _CLASSES)
    return classes[architecture["family"]](**sizes)
