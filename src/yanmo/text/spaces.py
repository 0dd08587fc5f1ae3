"""White space of a joined column, made plain; cleaning and segmentation end with it, and it knows neither."""

from __future__ import annotations

import re

__all__ = ["collapse_whitespace"]

# White space, other control characters, zero-width space, word joiner and byte order mark, but neither the plain space
# nor the separator.
_NO_SPACE = r"\x00-\x1d\x1f\x7f-\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
_ODD_SPACE = re.compile(f"[{_NO_SPACE}]")
_SPACES = re.compile("  +")


def collapse_whitespace(joined: str) -> str:
    """Return the text with one space for each run of white space and control characters, and none at its ends."""
    collapsed = _ODD_SPACE.sub(" ", joined)
    if "  " in collapsed:
        collapsed = _SPACES.sub(" ", collapsed)
    return collapsed.replace(" \x1e", "\x1e").replace("\x1e ", "\x1e").strip(" ")
