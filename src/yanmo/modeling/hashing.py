"""Which n-grams suit the training texts, and their hashes for columns of texts or of pairs; it imports no torch."""

from __future__ import annotations

from yanmo.modeling.settings import Texts
from yanmo.protocols import Ragged
from yanmo.text.ngrams import NgramConfig, default_ngrams, hash_column, hash_pairs
from yanmo.text.units import cjk_share

__all__ = ["choose_ngrams", "hash_texts"]


def choose_ngrams(texts: Texts) -> NgramConfig:
    """Return the n-grams that suit the language of the texts."""
    return default_ngrams(cjk_share(texts.first), segmented=texts.is_segmented)


def hash_texts(texts: Texts, config: NgramConfig) -> Ragged:
    """Return the hashed n-grams of a column of texts or pairs."""
    if texts.second is None:
        return hash_column(texts.first, config)
    return hash_pairs(texts.first, texts.second, config)
