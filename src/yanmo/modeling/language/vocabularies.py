"""Vocabularies of language models: what texts are cut into, and a tokenizer trained once for all runs of a work.

It knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from tokenizers import Tokenizer

from yanmo.artifacts import durable
from yanmo.text.language_tokens import TRAINERS, Tokenization
from yanmo.text.units import count_letters

__all__ = ["choose_pair_tokenization", "choose_tokenization", "train_vocabulary"]

VOCABULARY_CHARACTERS = 50_000_000
"""The vocabulary is trained from a sample of the texts of about this size."""
MOST_CJK = 0.5
MOST_SYMBOLS = 2000
LEAST_USES = 50
"""Words of which each comes so often in the mean are symbols, such as phonemes."""
LEAST_WORDS = 1.5


def choose_tokenization(texts: Sequence[str]) -> Tokenization:
    """Return what texts are cut into: characters where most letters are Chinese, else merged bytes."""
    num_cjk, num_letters = count_letters(texts)
    return "characters" if num_cjk > MOST_CJK * num_letters else "bytes"


def choose_pair_tokenization(sources: Sequence[str], targets: Sequence[str]) -> Tokenization:
    """Return what pairs are cut into: symbols where one side is words of a small set, else as texts are."""
    if any(map(_are_symbols, (sources, targets))):
        return "symbols"
    return choose_tokenization([*sources, *targets])


def train_vocabulary(path: Path, texts: Sequence[str], tokenization: Tokenization, *, vocab_size: int) -> Tokenizer:
    """Return a tokenizer that is trained from texts, once for all runs of the same path.

    Args:
        path: Where it is kept.
        texts: To train it from.
        tokenization: What it cuts texts into.
        vocab_size: Largest number of tokens.
    """
    if not path.is_file():
        TRAINERS[tokenization](_sample(texts), vocab_size).save(str(path.with_suffix(".partial")))
        durable.put(path.with_suffix(".partial"), path)
    return Tokenizer.from_file(str(path))


def _are_symbols(texts: Sequence[str]) -> bool:
    words = list(chain.from_iterable(text.split() for text in texts))
    num_different = len(set(words))
    return num_different <= MOST_SYMBOLS and len(words) >= max(LEAST_USES * num_different, LEAST_WORDS * len(texts))


def _sample(texts: Sequence[str]) -> list[str]:
    """Return every k-th text, so that they have about so many characters as a vocabulary needs."""
    step = max(1, round(sum(map(len, texts)) / VOCABULARY_CHARACTERS))
    return list(texts[::step])
