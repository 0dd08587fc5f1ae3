"""Token ids of whole documents with the words that they belong to; it knows no model and cuts no document off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from yanmo.arrays import IntArray, Ragged
from yanmo.text.columns import join_column, replace_surrogates, split_column
from yanmo.text.segment import cut_words

__all__ = ["WordTokens", "encode_documents", "untruncated"]


@dataclass(frozen=True)
class WordTokens:
    """Tokens of N documents, without special tokens.

    Attributes:
        ids: int64 token ids, N rows.
        continues: Whether a token is of the same word as the one before it, bool, as long as ``ids.values``.
    """

    ids: Ragged
    continues: npt.NDArray[np.bool_]


def untruncated(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy that cuts nothing off, pads nothing and takes "[SEP]" in a text for text."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    copy.encode_special_tokens = True
    return copy


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str], *, whole_words: bool) -> WordTokens:
    """Return the tokens of documents of any length.

    Args:
        tokenizer: One that :func:`untruncated` returned.
        texts: N cleaned documents.
        whole_words: Whether the tokens of one word are marked: Chinese words are those of the segmenter, which leaves
            a word of another script whole; else every token counts as a word.
    """
    # Replaced before the segmenter and the tokenizer see it: both places are then counted in the same characters.
    joined = replace_surrogates(join_column(texts))
    documents = split_column(joined, len(texts))
    # The slower call of the two: the fast one gives no offsets, by which tokens are matched with words.
    encodings = tokenizer.encode_batch(documents, add_special_tokens=False)
    offsets = np.zeros(len(encodings) + 1, dtype=np.int64)
    np.cumsum([len(one) for one in encodings], out=offsets[1:])
    values = np.fromiter(chain.from_iterable(one.ids for one in encodings), np.int64, int(offsets[-1]))
    ids = Ragged(values, offsets)
    if not whole_words:
        return WordTokens(ids, np.zeros(len(values), dtype=np.bool_))
    return WordTokens(ids, _continues(joined, documents, encodings, offsets))


def _continues(
    joined: str, documents: Sequence[str], encodings: Sequence[Encoding], offsets: IntArray
) -> npt.NDArray[np.bool_]:
    """Return which tokens begin in the word, of the whole joined column, in which the token before them begins."""
    word_ends = np.cumsum([len(word) for word in cut_words(joined)])
    # A document begins one separator after the end of the one before it.
    begins = np.concatenate(([0], np.cumsum([len(one) + 1 for one in documents])))[:-1]
    inside = np.fromiter((start for one in encodings for start, _ in one.offsets), np.int64, int(offsets[-1]))
    # The word of a token is the first that ends after the place at which the token begins in the joined column.
    word_of = np.searchsorted(word_ends, inside + np.repeat(begins, offsets[1:] - offsets[:-1]), side="right")
    continues = np.zeros(len(word_of), dtype=np.bool_)
    continues[1:] = word_of[1:] == word_of[:-1]
    return continues
