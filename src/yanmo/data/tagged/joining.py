"""Words of a sentence to its text, and where each of them stands in it; it knows no file and no label.

What the file says about the text is taken: the text itself, then which words a space follows. Else words of Chinese
sentences stand side by side, and others with one space between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from yanmo.data.tagged.sentence import WordsRow
from yanmo.text.units import cjk_share

__all__ = ["Glue", "Places", "join_words", "merge_multiwords"]

Glue: TypeAlias = Literal["space", "nothing", "as written"]
"""What stands between words: always a space, never anything, or whatever the file and the language say."""
Places: TypeAlias = list[tuple[int, int]]

CHINESE_SHARE = 0.5


def join_words(row: WordsRow, glue: Glue) -> tuple[str, Places]:
    """Return the text of a sentence, and the start and end of each word in it.

    Args:
        row: The words, of which none is in a multi-word token.
        glue: What stands between them.
    """
    if glue == "space":
        return _put(row.words, [True] * len(row.words))
    if row.text is not None and (places := _find(row.words, row.text)) is not None:
        return row.text, places
    if row.spaces is not None:
        return _put(row.words, row.spaces)
    is_close = glue == "nothing" or cjk_share(row.words) > CHINESE_SHARE
    return _put(row.words, [not is_close] * len(row.words))


def merge_multiwords(row: WordsRow) -> WordsRow:
    """Return a sentence as it is written: with each multi-word token in place of those of its words that it hides.

    Words that stand in their token as they are, such as ``do`` and ``n't``, stay. A token has the tag of its words
    where all of them have one kind, else none.
    """
    hidden = [one for one in row.multiwords if "".join(row.words[one.first : one.last]) != one.surface]
    words, tags, spaces = list(row.words), list(row.tags), None if row.spaces is None else list(row.spaces)
    # From the back, so that the places of those before stay.
    for one in reversed(hidden):
        inside = slice(one.first, one.last)
        kinds = {None if tag is None else (tag.partition("-")[2] or tag) for tag in tags[inside]}
        tags[inside] = [tags[one.first] if len(kinds) == 1 else None]
        words[inside] = [one.surface]
        if spaces is not None:
            spaces[inside] = [spaces[one.last - 1]]
    return replace(row, words=words, tags=tags, spaces=spaces, multiwords=[])


def _put(words: Sequence[str], spaces: Sequence[bool]) -> tuple[str, Places]:
    places, parts, length = [], [], 0
    for word, space in zip(words, spaces, strict=True):
        places.append((length, length + len(word)))
        parts.append(f"{word} " if space else word)
        length += len(parts[-1])
    text = "".join(parts)
    # The space behind the last word belongs to no text.
    return (text[:-1] if spaces and spaces[-1] else text), places


def _find(words: Sequence[str], text: str) -> Places | None:
    """Return where the words stand in a text, None if it does not consist of them and of white space."""
    places, place = [], 0
    for word in words:
        while not text.startswith(word, place) and text[place : place + 1].isspace():
            place += 1
        if not text.startswith(word, place):
            return None
        places.append((place, place + len(word)))
        place += len(word)
    return None if text[place:].strip() else places
