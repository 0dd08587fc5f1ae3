"""Texts that word pieces are joined to: such tokenizers put a blank before every word, also where there is none."""

from __future__ import annotations

import re

import numpy as np
from tokenizers import Tokenizer, decoders

from yanmo.arrays import IntArray

__all__ = ["joins_pieces", "without_blanks"]

# Ideographs, kana, and the punctuation and forms that stand with them; Korean has blanks between its words.
_CJK = "\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_BLANKS = re.compile(f" (?=[{_CJK}])|(?<=[{_CJK}]) ")


def joins_pieces(tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer joins word pieces."""
    return isinstance(tokenizer.decoder, decoders.WordPiece)


def without_blanks(text: str, ends_T: IntArray) -> tuple[str, IntArray]:
    """Return a text without blanks beside Chinese characters, and where its tokens end now.

    Args:
        text: As the tokenizer joins it.
        ends_T: How many characters there are behind each token.
    """
    is_kept = np.ones(len(text), np.int64)
    is_kept[[found.start() for found in _BLANKS.finditer(text)]] = 0
    sums = np.concatenate(([0], np.cumsum(is_kept)))
    return _BLANKS.sub("", text), sums[ends_T]
