"""Chinese word segmentation of whole columns; it knows no features and no model.

``rjieba`` cuts a whole joined column in one call: the separator is never part of a word, so every text is cut as if it
stood alone. A user dictionary has jieba's format, a word a line with an optional frequency and an optional tag:

    研磨机 12 n
    言模

Without a frequency a word gets the one that makes it stay whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from yanmo.errors import DataError
from yanmo.text.columns import join_column, replace_surrogates, split_column
from yanmo.text.spaces import collapse_whitespace

__all__ = ["Segmenter", "cut_words", "read_user_dict"]

# The characters that rjieba's words may have; it cuts at all others before it looks into any dictionary.
_WORD = re.compile(r"[a-zA-Z0-9+#&._%\-\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")
_MAX_FREQUENCY = 2**31 - 1
_HINT = "A line holds a word, an optional frequency and an optional tag, with spaces between them."


def cut_words(joined: str, cut: Callable[[str], list[str]] | None = None) -> list[str]:
    """Return the words of a joined column; white space and separators are words of their own.

    Args:
        joined: A joined column; lone surrogates come back as U+FFFD.
        cut: ``rjieba``'s function, or that of a dictionary of one's own.
    """
    if cut is None:
        import rjieba

        cut = rjieba.cut
    try:
        return cut(joined)
    except UnicodeEncodeError:
        return cut(replace_surrogates(joined))


class Segmenter:
    """Cuts texts into words; holds the dictionary, nothing else, and may be used by several threads.

    Args:
        user_dict: A UTF-8 file of words to add to rjieba's own dictionary.

    Raises:
        DataError: The file cannot be read, or a line of it is wrong.
    """

    def __init__(self, user_dict: Path | None = None) -> None:
        self._cut: Callable[[str], list[str]] | None = None
        if user_dict is not None:
            self._cut = _dictionary(read_user_dict(user_dict)).cut

    def segment_column(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with one space between two words and none at the ends."""
        return split_column(self.segment_joined(join_column(texts)), len(texts))

    def segment_joined(self, joined: str) -> str:
        """Return a joined column with one space between two words of a text."""
        return collapse_whitespace(" ".join(cut_words(joined, self._cut)))


def _dictionary(words: list[tuple[str, int | None, str | None]]) -> Any:
    import rjieba

    jieba = rjieba.Jieba()
    for word, frequency, tag in words:
        jieba.add_word(word, frequency, tag)
    return jieba


def read_user_dict(path: Path) -> list[tuple[str, int | None, str | None]]:
    """Return the words of a user dictionary with their frequencies and tags.

    Raises:
        DataError: The file cannot be read, is not UTF-8, or a line of it is wrong; the message names the line.
    """
    try:
        # The mark that Windows editors write first is no part of the first word.
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise DataError(f"The user dictionary {path} cannot be read: {error.strerror}.", hint=_HINT) from error
    words = []
    # Bytes are split and not text: str.splitlines would end a line at U+2028 and other characters, too. Each line is
    # decoded by itself, so that the error can name it.
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            fields = line.decode().split()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number} is not UTF-8.", hint="Save the file as UTF-8.") from error
        if fields:
            words.append(_entry(fields, f"{path}, line {number}"))
    return words


def _entry(fields: list[str], where: str) -> tuple[str, int | None, str | None]:
    word, *rest = fields
    if not _WORD.fullmatch(word):
        raise DataError(
            f"{where}: the word '{word}' holds a character at which words always end.",
            hint="A word holds Chinese characters, unaccented Latin letters, digits and + # & . _ % - only.",
        )
    has_frequency = bool(rest) and rest[0].isdecimal()
    # Python refuses to read thousands of digits, with an error of its own.
    frequency = int(rest[0]) if has_frequency and len(rest[0]) < 20 else None
    tags = rest[1:] if has_frequency else rest
    if len(tags) > 1 or (has_frequency and (frequency is None or frequency > _MAX_FREQUENCY)):
        raise DataError(f"{where}: '{' '.join(fields)}' is not an entry of a user dictionary.", hint=_HINT)
    if tags and not tags[0].isalnum():
        raise DataError(f"{where}: '{tags[0]}' is neither a frequency nor a tag.", hint=_HINT)
    return word, frequency, tags[0] if tags else None
