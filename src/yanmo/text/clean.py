"""Cleaning steps by name, each one compiled call on a whole joined column; it knows no file, label or model.

The order is the configured one. A step that takes something out leaves a space in its place, so that words on both
sides do not stick together (inline HTML tags and English stop words leave nothing); ``collapse_whitespace``, best
kept last, tidies up. No pattern here matches the separator of columns.py, so no text can leak into the next.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from yanmo.errors import ConfigError, did_you_mean
from yanmo.text.columns import join_column, replace_surrogates, split_column
from yanmo.text.markup import strip_html
from yanmo.text.segment import cut_words
from yanmo.text.spaces import collapse_whitespace
from yanmo.text.stop_words import STOP_WORDS_EN, STOP_WORDS_ZH

__all__ = ["CLEANING_STEPS", "UNIT_STEPS", "CleaningStep", "clean_column", "clean_joined", "unknown_step"]

CleaningStep = Callable[[str], str]
"""From one joined column to another; the number of separators stays the same."""

# ASCII and ideographs neither change under NFKC nor combine with what stands before them; all other characters are
# normalized in runs, each with the one character before it, which they may combine with.
_MAY_NORMALIZE = re.compile(r"[\x00-\x7f]?[^\x00-\x7f\u2018-\u201d\u3001-\u3029\u4e00-\u9fff]+")
# The look-behind gives a full stop or a closing bracket at the end of an address back to the sentence.
_URL = re.compile(
    r"(?:https?://|ftp://|www\.)[^\s<>\"'`\u2018-\u201f\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+"
    r"(?<![.,;:!?)\]}])",
    re.IGNORECASE,
)
# The look-behind and the possessive quantifiers let a run be tried once, from its beginning, and never again: else a
# hostile text of "a" a million times would take quadratic time.
_EMAIL = re.compile(r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++")
_DIGITS = re.compile(r"\d++(?:[.,]\d++)*+")
# Neither letters, digits and white space nor the combining marks of the common scripts.
_SYMBOLS = re.compile(
    r"(?:_|[^\w\s\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0981-\u0df3"
    r"\u0e31-\u0e4e\u0eb1-\u0ece\u1ab0-\u1aff\u1dc0-\u1dff\u3099\u309a])+"
)
# With hyphens and apostrophes, since only whole words are dropped: "a" goes, "a-list" stays.
_ENGLISH_WORD = re.compile(
    r"[^\W\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]++"
    r"(?:['\u2019-][^\W\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]++)*+"
)


def unicode_nfkc(joined: str) -> str:
    """Return the text in Unicode's compatibility composition: full-width letters become plain ones, and so on."""
    if joined.isascii():
        return joined
    return _MAY_NORMALIZE.sub(_normalize_match, joined)


def _normalize_match(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", match[0])


def simplify_chinese(joined: str) -> str:
    """Return the text with traditional Chinese characters in simplified form (OpenCC's ``t2s``)."""
    if joined.isascii():
        return joined
    convert = _opencc_convert()
    # Lone surrogates are rare, so no text is searched for them beforehand: OpenCC refuses them by itself.
    try:
        return convert(joined)
    except UnicodeEncodeError:
        return convert(replace_surrogates(joined))


@functools.lru_cache(maxsize=1)
def _opencc_convert() -> CleaningStep:
    # Imported when it is first needed: the converter reads its dictionaries from disk.
    import opencc

    convert: CleaningStep = opencc.OpenCC("t2s").convert
    return convert


def strip_urls(joined: str) -> str:
    """Return the text without web addresses; they end at white space, quotes and CJK characters."""
    return _URL.sub(" ", joined) if "://" in joined or "www." in joined.lower() else joined


def strip_emails(joined: str) -> str:
    """Return the text without e-mail addresses."""
    return _EMAIL.sub(" ", joined) if "@" in joined else joined


def strip_digits(joined: str) -> str:
    """Return the text without numbers, in the digits of any script, full-width ones included."""
    return _DIGITS.sub(" ", joined)


def strip_symbols(joined: str) -> str:
    """Return the text without punctuation, emoji and other symbols."""
    return _SYMBOLS.sub(" ", joined)


def drop_stop_words_en(joined: str) -> str:
    """Return the text without English function words, in either case; negations stay."""
    return _ENGLISH_WORD.sub(_keep_unless_stop_word, joined)


def _keep_unless_stop_word(match: re.Match[str]) -> str:
    word = match[0]
    return "" if word.lower().replace("\u2019", "'") in STOP_WORDS_EN else word


def drop_stop_words_zh(joined: str) -> str:
    """Return the text without Chinese function words; only whole words, as rjieba finds them, are dropped."""
    if joined.isascii():
        return joined
    # White space and separators are words of their own, so what is joined again lacks nothing but the stop words.
    return "".join(itertools.filterfalse(STOP_WORDS_ZH.__contains__, cut_words(joined)))


CLEANING_STEPS: Mapping[str, CleaningStep] = MappingProxyType(
    {
        "strip_html": strip_html,
        "unicode_nfkc": unicode_nfkc,
        "simplify_chinese": simplify_chinese,
        "lowercase": str.lower,
        "strip_urls": strip_urls,
        "strip_emails": strip_emails,
        "strip_digits": strip_digits,
        "strip_symbols": strip_symbols,
        "stop_words_en": drop_stop_words_en,
        "stop_words_zh": drop_stop_words_zh,
        "collapse_whitespace": collapse_whitespace,
    }
)

UNIT_STEPS = ("unicode_nfkc", "simplify_chinese", "lowercase", "collapse_whitespace")
"""Those that may be applied to the units of a text one by one: they look at no neighbor and take nothing away."""


def unknown_step(name: str) -> str:
    """Return the sentences of an error about a step that does not exist."""
    return f"There is no step '{name}'.{did_you_mean(name, CLEANING_STEPS)} The steps are: {', '.join(CLEANING_STEPS)}."


def clean_column(texts: Sequence[str], steps: Sequence[str]) -> list[str]:
    """Return the cleaned texts.

    Args:
        texts: N texts.
        steps: Names of ``CLEANING_STEPS``, applied in this order.

    Returns:
        N texts; some may have become empty.

    Raises:
        ConfigError: A step is unknown.
    """
    for name in steps:
        if name not in CLEANING_STEPS:
            raise ConfigError(f"The cleaning steps must be known. {unknown_step(name)}")
    return split_column(clean_joined(join_column(texts), steps), len(texts))


def clean_joined(joined: str, steps: Sequence[str]) -> str:
    """Return a joined column after the steps, all of them known."""
    for name in steps:
        joined = CLEANING_STEPS[name](joined)
    return joined
