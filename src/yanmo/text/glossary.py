"""A glossary: phrases that are always written in one way, wherever they stand in a text; it knows no model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from yanmo.errors import DataError

__all__ = ["Glossary", "read_glossary"]

# Chinese and Japanese have no blanks between words, so that any place may be the beginning of one.
_LETTER = r"[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"


class Glossary:
    """Phrases of texts, and what must be written for them.

    Args:
        phrases: Phrase in a text to what is written.
    """

    def __init__(self, phrases: Mapping[str, str]) -> None:
        self._phrases = dict(phrases)
        # The longest first, so that a phrase within another one is left to it.
        ordered = sorted(self._phrases, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_bounded, ordered))) if ordered else None

    def __len__(self) -> int:
        return len(self._phrases)

    def cleaned(self, clean: Callable[[Sequence[str]], list[str]]) -> Glossary:
        """Return the glossary whose phrases stand in texts that were cleaned; one of which nothing is left is none."""
        phrases = map(str.strip, clean(list(self._phrases)))
        return Glossary({phrase: one for phrase, one in zip(phrases, self._phrases.values(), strict=True) if phrase})

    def forced(self, text: str) -> list[str]:
        """Return the phrases that must be written for a text, in the order in which theirs stand in it, each once."""
        if self._pattern is None:
            return []
        return list(dict.fromkeys(self._phrases[found[0]] for found in self._pattern.finditer(text)))


def _bounded(phrase: str) -> str:
    """Return the pattern of a phrase: an end of it that is part of a word is the end of the word in a text, too."""
    before = f"(?<!{_LETTER})" if re.match(_LETTER, phrase[0]) else ""
    behind = f"(?!{_LETTER})" if re.match(_LETTER, phrase[-1]) else ""
    return before + re.escape(phrase) + behind


def read_glossary(path: Path) -> Glossary:
    """Return the glossary of a file.

    Args:
        path: UTF-8, a phrase a line: as it stands in texts, a tab, and what is written for it. Empty lines are nothing.

    Raises:
        DataError: The file cannot be read, or a line has not two phrases.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The glossary {path} cannot be read: {error}.", hint="Give a .tsv file in UTF-8.") from error
    phrases: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 2 or not all(parts):
            raise DataError(
                f"{path} line {number} must have two phrases with a tab between them. Got {line!r} instead.",
                hint="Such as: machine learning<TAB>机器学习",
            )
        phrases[parts[0]] = parts[1]
    return Glossary(phrases)
