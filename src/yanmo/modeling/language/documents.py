"""Documents as rows that a network reads from left to right: cut, moved from epoch to epoch; it knows no network.

A document is its tokens between two that mark its beginning and its end. A row never holds parts of two documents, so
nothing leaks from one to another; batches are made of rows of equal length, so hardly anything is padded.

Legend: N documents, R rows, B rows of a batch, T tokens of the longest.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from yanmo.arrays import IntArray, Ragged
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.text.language_tokens import LanguageTokenizer, TokenizedTexts

__all__ = ["UNCOUNTED", "DocumentRows", "DocumentTokens", "cut_rows", "tokenize_documents"]

UNCOUNTED = -100
"""The target of a place whose next token is not learned."""


@dataclass(frozen=True)
class DocumentTokens:
    """The tokens of N documents with the marks around them.

    Attributes:
        ids: int64, N rows of at least two tokens.
        counted: Whether each token is learned, bool: not the first of a document, and no token of a prompt.
        end_id: The mark.
    """

    ids: Ragged
    counted: npt.NDArray[np.bool_]
    end_id: int


@dataclass(frozen=True)
class DocumentRows:
    """R rows of documents.

    Attributes:
        documents: What they are cut from.
        starts_R: Where each row's first token is among those of all documents.
        lengths_N: How many tokens are read in each row; the token behind the last of them is predicted, too.
        skipped_R: How many tokens at the beginning of each row are only read, and what follows each of them does not
            count; None: none.
    """

    documents: DocumentTokens
    starts_R: IntArray
    lengths_N: IntArray
    skipped_R: IntArray | None = None
    is_padded: bool = True
    output_ends: None = None

    @functools.cached_property
    def num_counted_R(self) -> IntArray:
        """How many tokens of each row are learned."""
        sums = np.concatenate(([0], np.cumsum(self.documents.counted)))
        return np.asarray(sums[self.starts_R + self.lengths_N + 1] - sums[self.starts_R + 1])

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``input_ids`` and ``next_ids``, int64, shape (B, T)."""
        lengths_B = self.lengths_N[rows_B]
        places_BT = np.arange(max(1, int(lengths_B.max(initial=0))))
        is_here_BT = places_BT < lengths_B[:, None]
        # Behind the end of a row the place of its last token stands in, and is not read.
        read_BT = self.starts_R[rows_B][:, None] + np.minimum(places_BT, lengths_B[:, None] - 1)
        tokens, counted = self.documents.ids.values, self.documents.counted
        ids_BT = np.where(is_here_BT, tokens[read_BT], self.documents.end_id)
        if self.skipped_R is not None:
            is_here_BT &= places_BT >= self.skipped_R[rows_B][:, None]
        next_BT = np.where(is_here_BT & counted[read_BT + 1], tokens[read_BT + 1], UNCOUNTED)
        return {"input_ids": torch.from_numpy(ids_BT), "next_ids": torch.from_numpy(next_BT)}


def tokenize_documents(
    tokenizer: LanguageTokenizer, texts: Sequence[str], first_N: IntArray, found: TokenizedTexts | None = None
) -> DocumentTokens:
    """Return the tokens of texts.

    Args:
        tokenizer: Cuts them.
        texts: N texts.
        first_N: The first character of each that is learned; a token that ends behind it is.
        found: The tokens of the texts, where they are known.
    """
    found = tokenizer.encode(texts) if found is None else found
    lengths_N = found.ids.lengths_N + 2
    ends = np.concatenate(([0], np.cumsum(lengths_N)))
    ids = np.full(ends[-1], tokenizer.end_id, dtype=np.int64)
    counted = np.zeros(ends[-1], dtype=np.bool_)
    # Every document before a token, and its own, has put one mark before it, and the ones before it one behind, too.
    inside_M = np.arange(len(found.ids.values)) + 2 * np.repeat(np.arange(len(texts)), found.ids.lengths_N) + 1
    ids[inside_M] = found.ids.values
    counted[inside_M] = found.places[:, 1] > np.repeat(first_N, found.ids.lengths_N)
    # That the text ends here is learned, too.
    counted[ends[1:] - 1] = True
    return DocumentTokens(Ragged(ids, ends), counted, tokenizer.end_id)


def cut_rows(documents: DocumentTokens, max_length: int, *, shift: tuple[int, int] | None = None) -> DocumentRows:
    """Return documents cut into rows of at most so many tokens.

    Args:
        documents: At least one.
        max_length: Most tokens that a row reads.
        shift: Seed and epoch, by which the cuts within long documents are moved, so that every token is learned with
            much and with little before it; None: the first row of each is full.
    """
    num_read_N = documents.ids.lengths_N - 1
    is_long_N = num_read_N > max_length
    # One row more than is needed, so that there are equally many wherever the cuts are.
    num_rows_N = np.where(is_long_N, -(-num_read_N // max_length) + (shift is not None), 1)
    shift_N = np.zeros(len(num_read_N), dtype=np.int64)
    if shift is not None:
        shift_N = np.where(is_long_N, np.random.default_rng(shift).integers(0, max_length, len(num_read_N)), 0)
    row_R = np.repeat(np.arange(len(num_read_N)), num_rows_N)
    number_R = np.arange(len(row_R)) - np.repeat(np.cumsum(num_rows_N) - num_rows_N, num_rows_N)
    last_R = num_read_N[row_R]
    begins_R = np.maximum(number_R * max_length - shift_N[row_R], 0)
    ends_R = np.minimum((number_R + 1) * max_length - shift_N[row_R], last_R)
    # The row that is more than needed, or the first one that is moved out of its document, reads one token.
    begins_R = np.minimum(begins_R, last_R - 1)
    lengths_R = np.maximum(ends_R - begins_R, 1)
    return DocumentRows(documents, documents.ids.offsets[row_R] + begins_R, lengths_R)
