"""What tokens are called where each is told by itself: what it adds to a text, or its bytes; it knows no model."""

from __future__ import annotations

from collections.abc import Sequence

from yanmo.text.language_tokens import LanguageTokenizer

__all__ = ["TokenNames"]

BROKEN = "\ufffd"


class TokenNames:
    """The names of a tokenizer's tokens."""

    def __init__(self, tokenizer: LanguageTokenizer) -> None:
        self._backend = tokenizer.backend

    def of(self, tokens: Sequence[int]) -> list[str]:
        """Return the names of some tokens."""
        return [self.name(token) for token in tokens]

    def name(self, token: int) -> str:
        """Return what a token adds to a text; of a part of a character what the tokenizer calls it."""
        text = self._backend.decode([token], skip_special_tokens=False)
        return self._backend.id_to_token(token) or "" if BROKEN in text or not text else text
