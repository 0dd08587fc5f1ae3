"""Which n-grams suit the training texts, and their hashes for columns of texts or of pairs; it imports no torch."""

from __future__ import annotations

from yanmo.arrays import Ragged
from yanmo.text.inputs import Inputs
from yanmo.text.ngrams import NgramConfig, default_ngrams, hash_column, hash_pairs
from yanmo.text.units import cjk_share

__all__ = ["hash_texts", "linear_ngrams", "network_ngrams"]

CHINESE = 0.7


def linear_ngrams(texts: Inputs) -> NgramConfig:
    """Return the n-grams of the linear model: many, since every one has a weight of its own."""
    return default_ngrams(cjk_share(texts.first), segmented=texts.is_segmented)


def network_ngrams(texts: Inputs) -> NgramConfig:
    """Return the n-grams of the ngram network: fewer, since they share one mean and a table of limited size.

    Chinese texts: characters 1-2; others: words 1-2 and characters 3-4. Segmented texts have words 1-2 in any case.
    """
    is_chinese = cjk_share(texts.first) >= CHINESE
    has_words = texts.is_segmented or not is_chinese
    return NgramConfig(
        word_ngrams=(1, 2) if has_words else None,
        char_ngrams=(1, 2) if is_chinese else (3, 4),
        cjk_words=texts.is_segmented,
    )


def hash_texts(texts: Inputs, config: NgramConfig) -> Ragged:
    """Return the hashed n-grams of a column of texts or pairs."""
    if texts.second is None:
        return hash_column(texts.first, config)
    return hash_pairs(texts.first, texts.second, config)
