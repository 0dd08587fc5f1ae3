"""How a user marks gaps in a text; it knows no tokenizer."""

from __future__ import annotations

import re

__all__ = ["marks_of", "with_mark"]

MARK = re.compile(r"\[\s*mask\s*\]|<\s*mask\s*>", re.IGNORECASE)
"""Cleaning may have made letters small, and a segmenter may have put spaces into it."""


def marks_of(text: str) -> list[tuple[int, int]]:
    """Return where the gaps of a text begin and end, in characters."""
    return [one.span() for one in MARK.finditer(text)]


def with_mark(text: str, mark: str) -> str:
    """Return the text with one and the same mark in all of its gaps."""
    return MARK.sub(mark, text)
