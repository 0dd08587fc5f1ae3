"""What people read in their language: English sentences and what they are in Chinese, one catalogue for all rooms.

The English sentence is the key, with ``{names}`` where a value goes in, so that a page without a catalogue still reads.
It knows no page, no service and no Report.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

__all__ = ["LANGUAGES", "Language", "Phrase", "catalogue", "preferred_language", "sections", "translate"]

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
QUALITY = re.compile(r"^q=([01](?:\.\d{0,3})?)$")


class Phrase(str):
    """A value in a sentence that is itself in the catalogue."""

    __slots__ = ()


def translate(text: str, language: Language, **values: object) -> str:
    """Return a sentence in a language; one that the catalogue lacks stays English.

    Args:
        text: In English, perhaps with ``{names}``.
        language: In which it is read.
        **values: What the names stand for, phrases in the same language; without any the sentence is taken as it is,
            braces too.
    """
    told = text if language == "en" else catalogue().get(text, text)
    if not values:
        return told
    return told.format_map(
        {name: translate(one, language) if isinstance(one, Phrase) else one for name, one in values.items()}
    )


@cache
def catalogue() -> dict[str, str]:
    """Return the Chinese of every English sentence."""
    return {english: chinese for section in sections().values() for english, chinese in section.items()}


@cache
def sections() -> dict[str, dict[str, str]]:
    """Return the catalogue by where its sentences are read."""
    return tomllib.loads(files("yanmo.translations").joinpath("zh.toml").read_text(encoding="utf-8"))


def preferred_language(accepted: str, default: Language) -> Language:
    """Return the language that a client wants most of those that there are.

    Args:
        accepted: The header Accept-Language, such as ``zh-CN,zh;q=0.9,en;q=0.8``.
        default: Where the client names none of them, or any.

    Source: Fielding, Nottingham, Reschke 2022, "HTTP Semantics", RFC 9110, section 12.5.4.
    """
    best, most = default, 0.0
    for one in accepted.split(","):
        name, _, parameter = one.strip().partition(";")
        found = QUALITY.match(parameter.strip()) if parameter else None
        quality = float(found[1]) if found else 0.0 if parameter else 1.0
        language = next((known for known in LANGUAGES if name.lower().split("-")[0] == known), None)
        # Of equals the first counts, as in the lists that browsers send.
        if language is not None and quality > most:
            best, most = language, quality
    return best
