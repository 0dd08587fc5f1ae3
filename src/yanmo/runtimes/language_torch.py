"""Torch Bundles of language models: how likely the tokens of a text are, in windows that overlap; it writes no text.

A text that is longer than the model reads is read in windows. Each predicts what the one before it has not, so every
token but those of the first window has at least the overlap before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from yanmo.answers.answered import Found
from yanmo.answers.sequences import Sequences
from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts.bundle import Bundle
from yanmo.modeling.language.decoders import load_decoder, next_token_losses
from yanmo.modeling.language.documents import DocumentRows, DocumentTokens, tokenize_documents
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.batching import plan_batches
from yanmo.runtimes.language_windows import count_overlap, describe_reading
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.language_tokens import LanguageTokenizer

__all__ = ["EncodedDocuments", "TorchLanguageModel", "document_windows"]

TOKEN_BUDGET = 4096


@dataclass(frozen=True)
class EncodedDocuments:
    """N texts, ready to be scored.

    Attributes:
        texts: N texts.
        rows: The windows; of each the tokens that count are those that the one before it has not predicted.
        places: Which characters each token adds, int64, shape (M, 2).
        ends: Row i has the tokens ``ends[i]`` to ``ends[i + 1]``, without the marks around a text.
    """

    texts: list[str]
    rows: DocumentRows
    places: IntArray
    ends: IntArray


class TorchLanguageModel(Runtime[EncodedDocuments]):
    """The Runtime protocol for torch Bundles whose answers are log-likelihoods.

    Attributes:
        module: The network.
    """

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.module: nn.Module = load_decoder(bundle.path).to(device)
        self._device = device
        self._max_length = bundle.max_length
        self._tokenizer = LanguageTokenizer.open(bundle.path / "tokenizer.json", end=bundle.architecture["end"])

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> EncodedDocuments:
        """Return the windows of N texts; none is cut off."""
        found = self._tokenizer.encode(inputs.first)
        documents = tokenize_documents(self._tokenizer, inputs.first, np.zeros(len(inputs), dtype=np.int64), found)
        rows = document_windows(documents, self._max_length, num_before=count_overlap(self._max_length, windows))
        return EncodedDocuments(list(inputs.first), rows, found.places, found.ids.offsets)

    def reading(self, windows: Windows | None) -> dict[str, Any]:
        """Return the tokens that are read at once, how far the next window is, and what begins a text."""
        return describe_reading(self._tokenizer, self._tokenizer.end_id, max_length=self._max_length, windows=windows)

    def score(self, encoded: EncodedDocuments) -> Inference[Sequences]:
        """Return the log-likelihoods of the tokens of N texts."""
        rows = encoded.rows
        plan = list(plan_batches(rows.lengths_N, TOKEN_BUDGET))
        # Of every token of all documents; those that are never predicted stay 0 and are taken out below.
        likelihoods = np.zeros(len(rows.documents.ids.values), dtype=np.float32)
        with torch.inference_mode():
            for rows_B in plan:
                self._score_batch(rows, rows_B, likelihoods)
        lengths_N = np.diff(encoded.ends)
        # Behind the mark that begins its text, and before the one that ends it.
        own_M = np.arange(encoded.ends[-1]) + 2 * np.repeat(np.arange(len(lengths_N)), lengths_N) + 1
        num_cells = sum(int(rows.lengths_N[rows_B].max()) * len(rows_B) for rows_B in plan)
        nothing_N = np.zeros(len(lengths_N), dtype=np.int64)
        found = Found(lengths_N, nothing_N, nothing_N.astype(np.bool_), num_cells)
        return Inference(Sequences(likelihoods[own_M], encoded.ends, encoded.places, encoded.texts), found)

    def _score_batch(self, rows: DocumentRows, rows_B: IntArray, likelihoods: FloatArray) -> None:
        """Write the log-likelihoods that a batch predicts where their tokens are."""
        batch = rows.collate(rows_B)
        losses_BT = next_token_losses(self.module, {name: one.to(self._device) for name, one in batch.items()})
        is_counted_BT = (batch["next_ids"] >= 0).numpy()
        places_BT = rows.starts_R[rows_B][:, None] + np.arange(is_counted_BT.shape[1]) + 1
        likelihoods[places_BT[is_counted_BT]] = -losses_BT.float().cpu().numpy()[is_counted_BT]


def document_windows(documents: DocumentTokens, max_length: int, *, num_before: int) -> DocumentRows:
    """Return windows of documents in which every token counts once.

    Args:
        documents: N documents.
        max_length: Most tokens that a window reads.
        num_before: Tokens at the beginning of every window but the first that the one before it has predicted.
    """
    num_read_N = documents.ids.lengths_N - 1
    stride = max(max_length - num_before, 1)
    num_windows_N = np.maximum(-(-(num_read_N - max_length) // stride), 0) + 1
    row_R = np.repeat(np.arange(len(num_read_N)), num_windows_N)
    number_R = np.arange(len(row_R)) - np.repeat(np.cumsum(num_windows_N) - num_windows_N, num_windows_N)
    begins_R = number_R * stride
    lengths_R = np.minimum(max_length, num_read_N[row_R] - begins_R)
    skipped_R = np.where(number_R > 0, max_length - stride, 0)
    return DocumentRows(documents, documents.ids.offsets[row_R] + begins_R, lengths_R, skipped_R)
