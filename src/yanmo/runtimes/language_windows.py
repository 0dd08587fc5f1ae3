"""How a language model reads a text that is longer than it can at once: in windows that overlap; it runs no model."""

from __future__ import annotations

from typing import Any

from yanmo.text.inputs import Windows
from yanmo.text.language_tokens import LanguageTokenizer

__all__ = ["count_overlap", "describe_reading"]

OVERLAP = 0.5
"""Share of a window that the one before it has read, too, where nothing else is asked for."""


def count_overlap(max_length: int, windows: Windows | None) -> int:
    """Return how many tokens of a window the one before it has read, too.

    Args:
        max_length: Tokens of a window.
        windows: What is asked for; None: half of them.
    """
    return int((OVERLAP if windows is None else windows.overlap) * max_length)


def describe_reading(
    tokenizer: LanguageTokenizer, begin_id: int, *, max_length: int, windows: Windows | None
) -> dict[str, Any]:
    """Return what a Report says of it, as JSON values.

    Args:
        tokenizer: Of the model.
        begin_id: Of the token that begins a text.
        max_length: Tokens of a window.
        windows: How they overlap.
    """
    return {
        "window": max_length,
        "stride": max(max_length - count_overlap(max_length, windows), 1),
        "start_token": tokenizer.backend.id_to_token(begin_id),
    }
