"""What is counted in rows of text that a model finds more or less likely, and the measures of it; it knows no model.

The statistics of a row, S = 5: nats, characters, bytes in UTF-8, tokens, words between white space. They are sums, so a
measure of a corpus weighs each of its parts by its length, and intervals draw whole rows: documents.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yanmo.arrays import Doubles, IntArray
from yanmo.metrics.measures import Measure

__all__ = ["BITS_PER_CHARACTER", "LANGUAGE_MEASURES", "language_statistics", "text_sizes"]

NATS, CHARACTERS, BYTES, TOKENS, WORDS = range(5)


def text_sizes(texts: Sequence[str], first_N: IntArray) -> Doubles:
    """Return characters, bytes and words of what counts of each text, float64, shape (N, 3).

    Args:
        texts: N texts.
        first_N: The first character of each that counts.
    """
    counted = [text[first:] for text, first in zip(texts, first_N.tolist(), strict=True)]
    # A lone surrogate has no bytes in UTF-8; as a question mark it has one.
    sizes = [(len(text), len(text.encode("utf-8", "replace")), len(text.split())) for text in counted]
    return np.asarray(sizes, dtype=np.float64).reshape(len(sizes), 3)


def language_statistics(nats_N: Doubles, tokens_N: IntArray, sizes_N3: Doubles) -> Doubles:
    """Return what is counted in each row, shape (N, 5).

    Args:
        nats_N: The negative log-likelihood of each row.
        tokens_N: In how many tokens.
        sizes_N3: From :func:`text_sizes`.
    """
    characters_N, bytes_N, words_N = sizes_N3.T
    return np.column_stack([nats_N, characters_N, bytes_N, tokens_N, words_N]).astype(np.float64)


def _bits(unit: int) -> Measure:
    name, title = {CHARACTERS: ("character", "character"), BYTES: ("byte", "byte in UTF-8")}[unit]

    def of_sums(sums: Doubles) -> Doubles:
        return np.asarray(sums[..., NATS] / np.log(2) / sums[..., unit])

    return Measure(
        f"bits_per_{name}", of_sums, f"bits a {title}", higher_is_better=False, is_rate=False, is_second=True
    )


def _perplexity(unit: int) -> Measure:
    name, title = {TOKENS: ("token", "token of the model"), WORDS: ("word", "word between white space")}[unit]

    def of_sums(sums: Doubles) -> Doubles:
        # Beyond what a float can hold: a text without white space is one word.
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(sums[..., NATS] / sums[..., unit]))

    return Measure(f"perplexity_per_{name}", of_sums, f"perplexity a {title}", higher_is_better=False, is_rate=False)


BITS_PER_CHARACTER = _bits(CHARACTERS)
"""The headline: it depends on no tokenizer."""
LANGUAGE_MEASURES = (BITS_PER_CHARACTER, _bits(BYTES), _perplexity(TOKENS), _perplexity(WORDS))
