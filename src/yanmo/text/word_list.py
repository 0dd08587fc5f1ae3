"""A user's word list: a word a line, with or without the frequency and the tag of a dictionary; it knows no model."""

from __future__ import annotations

import re
from pathlib import Path

from yanmo.errors import DataError

__all__ = ["read_word_list"]

ENTRY = re.compile(r"(?P<word>.*?)(?:\s+\d+(?:\s+\S+)?)?")
"""A word may have spaces in it; a number behind it is its frequency."""


def read_word_list(path: Path) -> list[str]:
    """Return the distinct words of a file, in their order.

    Raises:
        DataError: The file cannot be read, a line is not UTF-8, or there is no word; the message names the line.
    """
    try:
        # The mark that Windows editors write first is no part of the first word.
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise DataError(f"The word list {path} cannot be read: {error.strerror}.", hint="Check the path.") from error
    words: dict[str, None] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{path}, line {number} is not UTF-8.", hint="Save the file as UTF-8.") from error
        found = ENTRY.fullmatch(text)
        if found and found["word"]:
            words[found["word"]] = None
    if not words:
        raise DataError(f"The word list {path} has no word.", hint="Write one word a line.")
    return list(words)
