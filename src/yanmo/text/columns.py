"""A column of texts as one string, and back; it knows nothing about what is done to the string in between.

The texts are joined with the control character U+001E (record separator), which no text may contain: in the input it
becomes a space. Whatever works on the joined string must neither remove nor add a separator, nor match across one.
"""

from __future__ import annotations

from collections.abc import Sequence

from yanmo.errors import InternalError

__all__ = ["SEPARATOR", "join_column", "replace_surrogates", "split_column"]

# Python counts it as white space and as the end of a line: a plain ``\s`` or ``splitlines`` would match it.
SEPARATOR = "\x1e"


def join_column(texts: Sequence[str]) -> str:
    """Return all texts in one string, one separator between two of them."""
    joined = texts[0] if len(texts) == 1 else SEPARATOR.join(texts)
    # One count over the column; texts are looked at one by one only where one of them holds the separator.
    if joined.count(SEPARATOR) != max(len(texts) - 1, 0):
        joined = SEPARATOR.join([text.replace(SEPARATOR, " ") for text in texts])
    return joined


def split_column(joined: str, num_texts: int) -> list[str]:
    """Return the texts of a joined column.

    Raises:
        InternalError: A step added or removed a separator.
    """
    if num_texts == 0:
        return []
    texts = joined.split(SEPARATOR)
    if len(texts) != num_texts:
        raise InternalError(f"A column of {num_texts} texts came back as {len(texts)}.")
    return texts


def replace_surrogates(joined: str) -> str:
    """Return the string with U+FFFD for lone surrogates, which libraries that work on UTF-8 refuse."""
    if joined.isascii():
        return joined
    # In UTF-16 a high surrogate before a low one is a pair: a character that was cut in two becomes whole again.
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
