"""A sentence a line: words between spaces, words with their tags, or words and tags in two files; no tag's meaning."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from yanmo.data.tagged.sentence import WordsRow
from yanmo.data.tagged.tag_sequences import UNLABELED
from yanmo.errors import DataError

__all__ = ["read_aligned", "read_segmented", "read_tagged_words", "tags_beside"]

SIGNS = ("/", "_")
# In the corpus of the People's Daily a compound is [a/n b/n]nt, whose own tag is left out.
OPENING, CLOSING = re.compile(r"^\[(?=.)"), re.compile(r"(?<=.)\][A-Za-z]+$")


def read_segmented(lines: Iterable[str]) -> Iterator[WordsRow]:
    """Yield the words of every line that is not blank."""
    for number, line in enumerate(lines, 1):
        if words := line.split():
            yield WordsRow(number, words, [None] * len(words))


def read_tagged_words(path: Path, lines: Iterable[str]) -> Iterator[WordsRow]:
    """Yield the words and tags of lines such as ``the/DT end/NN`` or ``the_DT end_NN``.

    Args:
        path: For messages.
        lines: Of the file.

    Raises:
        DataError: A word has no tag, or another sign between than the words before it.
    """
    sign = ""
    for number, line in enumerate(lines, 1):
        parts = line.split()
        sign = sign or _find_sign(parts)
        if sign == "/":
            parts = [CLOSING.sub("", OPENING.sub("", part)) for part in parts]
        pairs = [part.rpartition(sign or "/") for part in parts]
        bare = next((part for part, (word, _, tag) in zip(parts, pairs, strict=True) if not word or not tag), None)
        if bare is not None:
            raise DataError(
                f"{path} line {number} has a word without a tag: {bare[:40]!r}.",
                hint=f"Every word is followed by {sign or '/ or _'} and its tag; words alone: --tagging segmented.",
            )
        if pairs:
            tags = [None if tag in UNLABELED else tag for _, _, tag in pairs]
            yield WordsRow(number, [word for word, _, _ in pairs], tags)


def _find_sign(parts: Sequence[str]) -> str:
    """Return what stands between the words and tags of a line, nothing where it does not tell."""
    fitting = [sign for sign in SIGNS if parts and all(part.rpartition(sign)[0] for part in parts)]
    # Where words or tags hold the other sign, the one that is nearer to the end parts them.
    return max(fitting, key=parts[0].rindex) if fitting else ""


def tags_beside(path: Path) -> Path:
    """Return the file of tags that belongs to a file of words: ``seq.out`` beside ``seq.in``.

    Raises:
        DataError: The file has no such name, or the other one is not there.
    """
    name = re.sub(r"\bin\b(?=(\.gz|\.zst)?$)", "out", path.name)
    if name == path.name or not (path.parent / name).is_file():
        raise DataError(
            f"There is no file of tags beside {path}.",
            hint="Words stand in a file whose name ends in in, such as seq.in, and their tags beside it in seq.out.",
        )
    return path.parent / name


def read_aligned(path: Path, lines: Iterable[str], tags_path: Path, tag_lines: Iterable[str]) -> Iterator[WordsRow]:
    """Yield the words of one file with the tags of another one, line by line.

    Args:
        path: That of the words, for messages.
        lines: Of the words.
        tags_path: That of the tags, for messages.
        tag_lines: Of the tags.

    Raises:
        DataError: A line has more or fewer tags than words, or a file has more lines than the other.
    """
    for number, (line, tag_line) in enumerate(itertools.zip_longest(lines, tag_lines), 1):
        words, tags = (line or "").split(), (tag_line or "").split()
        if len(words) != len(tags):
            raise DataError(
                f"{tags_path} line {number} has {len(tags)} tags, but {path} has {len(words)} words there.",
                hint="Both files need as many lines, and every line a tag for each word.",
            )
        if words:
            yield WordsRow(number, words, [None if tag in UNLABELED else tag for tag in tags])
