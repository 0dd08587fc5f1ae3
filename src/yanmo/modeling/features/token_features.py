"""A network's tokenizer, trained or its teacher's, and what it reads of texts by it; it knows no network itself."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from tokenizers import Tokenizer

from yanmo.errors import ConfigError
from yanmo.modeling.features.ragged import TokenFeatures
from yanmo.modeling.settings import NetworkSettings
from yanmo.text.inputs import Inputs
from yanmo.text.passage_tokens import PassageTokenizer
from yanmo.text.tokenizer import (
    SPECIAL_TOKENS,
    encode_column,
    open_tokenizer,
    train_wordlevel,
    train_wordpiece,
    truncating,
)
from yanmo.text.unit_tokens import UnitTokenizer

__all__ = ["other_tokens", "teacher_tokenizer", "token_encoder", "train_tokenizer"]


def train_tokenizer(texts: Inputs, settings: NetworkSettings) -> Tokenizer:
    """Return a tokenizer of the training texts; of units one that keeps their case, which tells names."""
    if texts.units is not None:
        surfaces = [*texts.units.surfaces, *(texts.second or ())]
        return train_wordpiece(surfaces, settings.vocab_size or 0, lowercase=False)
    column = [*texts.first, *(texts.second or ())]
    train = train_wordlevel if texts.is_segmented else train_wordpiece
    return train(column, settings.vocab_size or 0)


def teacher_tokenizer(settings: NetworkSettings) -> Tokenizer | None:
    """Return the tokenizer of the teacher whose inside is compared, if there is one."""
    teaching = settings.teaching
    if teaching is None or teaching.match == "none" or teaching.teacher_dir is None:
        return None
    tokenizer = open_tokenizer(teaching.teacher_dir / "tokenizer.json")
    if any(tokenizer.token_to_id(token) is None for token in SPECIAL_TOKENS):
        raise other_tokens("one from scratch")
    return tokenizer


def other_tokens(student: str) -> ConfigError:
    """Return the error about a student that reads other tokens than its teacher."""
    return ConfigError(
        f"The 'match' parameter of distill needs a student that reads the teacher's tokens; {student} has others.",
        hint="Choose a student with the teacher's tokenizer, or leave match out.",
    )


def token_encoder(
    tokenizer: Tokenizer, max_length: int, *, pad_id: int, has_types: bool
) -> Callable[[Inputs], TokenFeatures]:
    """Return what makes features of texts, or of their units where they have any.

    Args:
        tokenizer: Of the network.
        max_length: Most tokens of a text, or of a window of one that is read unit by unit.
        pad_id: What fills a batch up.
        has_types: Whether the network tells the texts of a pair apart by token types.
    """
    ready = truncating(tokenizer, max_length)

    @functools.cache
    def of_units() -> UnitTokenizer:
        return UnitTokenizer(tokenizer, max_length)

    @functools.cache
    def of_passages() -> PassageTokenizer:
        return PassageTokenizer(tokenizer, max_length)

    def encode(texts: Inputs) -> TokenFeatures:
        if texts.units is not None:
            # The units of a text that has another beside it are those of a passage and its question.
            found = (
                of_units().encode(texts.units)
                if texts.second is None
                else of_passages().encode(texts.second, texts.units)
            )
            text_N = np.arange(len(found.ids)) if found.text_W is None else found.text_W
            firsts, places = (None, None) if found.units is None else (found.units.firsts, found.units.places)
            types = found.type_ids if has_types else None
            return TokenFeatures(found.ids, types, pad_id, firsts=firsts, text_N=text_N, places=places)
        encoded = encode_column(ready, texts.first, texts.second, max_length)
        return TokenFeatures(encoded.ids, encoded.type_ids if has_types else None, pad_id)

    return encode
