"""Whether language models that are put together know the same words; it runs no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenizers import models

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import DataError
from yanmo.text.tokenizer import open_tokenizer

__all__ = ["check_same_words"]

TOKENIZER = "tokenizer.json"
NUM_SHOWN = 3


def check_same_words(members: Sequence[Bundle]) -> None:
    """Refuse language models of words that know different ones.

    All words that a model does not know are one token to it. Where vocabularies differ, one model tells how likely a
    word is and the other how likely any word is that it does not know, and a mean of both is neither.

    Args:
        members: Language models; those that cut texts into other tokens than words know every text.

    Raises:
        DataError: As said.
    """
    known = [(one, words) for member in members for one in _leaves(member) if (words := _words(one)) is not None]
    for other, words in known[1:]:
        first, ours = known[0]
        apart = sorted(words ^ ours)
        if apart:
            raise DataError(
                f"{first.path} and {other.path} know different words: {len(apart)} only one of them, such as "
                f"{', '.join(map(repr, apart[:NUM_SHOWN]))}. Their probabilities are not of the same.",
                hint="Train both with one vocabulary of words, or with --tokenization bytes or characters.",
            )


def _leaves(bundle: Bundle) -> Iterator[Bundle]:
    members = bundle.members() if bundle.is_composite else []
    if not members:
        yield bundle
    for member in members:
        yield from _leaves(member)


def _words(bundle: Bundle) -> frozenset[str] | None:
    """Return the words that a model knows, None where its tokens are others."""
    path = bundle.path / TOKENIZER
    if not path.is_file():
        return None
    tokenizer = open_tokenizer(path)
    return frozenset(tokenizer.get_vocab()) if isinstance(tokenizer.model, models.WordLevel) else None
