"""A language model of counted n-grams with its tokenizer: made from texts, kept in a folder, asked about texts.

It is the family ``kneser-ney``, and the cheap model that every report of a language model shows beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from yanmo.answers.sequences import Sequences
from yanmo.arrays import IntArray
from yanmo.errors import ArtifactError
from yanmo.text.backoff_model import BackoffLevel, BackoffModel
from yanmo.text.kneser_ney import count_kneser_ney
from yanmo.text.language_tokens import END, TRAINERS, LanguageTokenizer, Tokenization
from yanmo.text.tokenizer import count_unknown

__all__ = ["NgramLanguageModel", "fit_ngram_language_model"]

WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
ORDERS: Mapping[Tokenization, int] = {"characters": 7, "bytes": 5, "words": 5}
"""What a text is cut into, to the usual length of n-grams."""


@dataclass(frozen=True)
class NgramLanguageModel:
    """Counted n-grams.

    Attributes:
        tokenizer: Cuts texts.
        model: Their probabilities.
    """

    tokenizer: LanguageTokenizer
    model: BackoffModel

    @property
    def order(self) -> int:
        """The most tokens of an n-gram."""
        return len(self.model.levels)

    def score(self, texts: Sequence[str]) -> tuple[Sequences, IntArray]:
        """Return how likely the tokens of N texts are, and how many of each are unknown, int64, shape (N,)."""
        found = self.tokenizer.encode(texts)
        scored = self.model.score(found.ids, self.tokenizer.end_id)
        is_own = np.ones(len(scored.values), dtype=np.bool_)
        # The end of each text is predicted, too, and is no part of it.
        is_own[scored.offsets[1:] - 1] = False
        values_M = scored.values[is_own].astype(np.float32)
        unknown_N = count_unknown(self.tokenizer.backend, found.ids)
        return Sequences(values_M, found.ids.offsets, found.places, list(texts)), unknown_N

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``tokenizer.json``."""
        tensors = {}
        for n, level in enumerate(self.model.levels, 1):
            tensors[f"keys.{n}"] = level.keys_K
            tensors[f"log_probabilities.{n}"] = level.log_probabilities_K.astype(np.float32)
            tensors[f"backoffs.{n}"] = level.backoffs_K.astype(np.float32)
        save_file(tensors, folder / WEIGHTS)
        self.tokenizer.backend.save(str(folder / TOKENIZER))

    @classmethod
    def open(cls, folder: Path, *, end: str | None = None) -> Self:
        """Return the model of a folder that :meth:`save` wrote.

        Args:
            folder: Where it is.
            end: The token that ends a text; None: the usual one.

        Raises:
            ArtifactError: A file is missing or damaged.
        """
        tokenizer = LanguageTokenizer.open(folder / TOKENIZER, end=end)
        try:
            tensors: dict[str, Any] = load_file(folder / WEIGHTS)
            names, count = ("keys", "log_probabilities", "backoffs"), len(tensors) // 3
            arrays = [[tensors[f"{name}.{n}"] for name in names] for n in range(1, count + 1)]
        except (OSError, SafetensorError, KeyError) as error:
            raise ArtifactError(
                f"{folder / WEIGHTS} cannot be read: {error}.", hint="Train the Bundle again."
            ) from error
        # Kept in single precision; sums over a long text want more.
        levels = [BackoffLevel(keys, *(one.astype(np.float64) for one in values)) for keys, *values in arrays]
        return cls(tokenizer, BackoffModel(tokenizer.vocab_size, levels))


def fit_ngram_language_model(
    texts: Sequence[str],
    *,
    tokenization: Tokenization = "auto",
    order: int | None = None,
    vocab_size: int,
    tokenizer: LanguageTokenizer | None = None,
) -> NgramLanguageModel:
    """Return the model of some texts.

    Args:
        texts: N texts.
        tokenization: What they are cut into; auto: characters.
        order: The most tokens of an n-gram; None: the usual length for these.
        vocab_size: Largest number of tokens.
        tokenizer: What cuts them instead of one that is made of them.
    """
    cut: Tokenization = "characters" if tokenization == "auto" else tokenization
    if tokenizer is not None:
        cut = "bytes" if tokenizer.characters is None else "characters"
    else:
        tokenizer = LanguageTokenizer.of(TRAINERS[cut](texts, vocab_size), name="the n-grams", end=END)
    ids = tokenizer.encode(texts).ids
    size, end_id = tokenizer.vocab_size, tokenizer.end_id
    return NgramLanguageModel(
        tokenizer, count_kneser_ney(ids, vocab_size=size, end_id=end_id, order=order or ORDERS[cut])
    )
