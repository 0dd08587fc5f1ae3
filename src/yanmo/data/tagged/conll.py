"""CoNLL's columns: a word a line, its tag in one of the columns, a blank line behind each sentence; no tag's meaning.

Columns are separated by tabs where a file has any, else by spaces. A line that begins with ``#`` is a comment where it
has not as many columns as the others; comments say ``# text = …`` and names of sentences such as ``# sent_id = …``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from yanmo.counted import counted
from yanmo.data.tagged.sentence import WordsRow
from yanmo.data.tagged.tag_sequences import UNLABELED
from yanmo.errors import DataError

__all__ = ["Columns", "Comments", "read_conll"]

Numbered: TypeAlias = Iterator[tuple[int, str]]

DOCUMENT = "-DOCSTART-"
SPACES = re.compile("[ \t]+")
COMMENT = re.compile(r"#\s*([\w.]+)\s*=\s?(.*)")


@dataclass(frozen=True)
class Columns:
    """Which columns are read, from 1.

    Attributes:
        word: That of the words.
        tag: That of the tags; 0 is the last one, None none.
        name: The comment that names a sentence; None where the names do not matter.
    """

    word: int = 1
    tag: int | None = 0
    name: str | None = None


@dataclass
class Comments:
    """What the comments before a sentence say."""

    found: dict[str, str] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Take a comment in."""
        if match := COMMENT.fullmatch(line):
            self.found[match[1]] = match[2]

    def give(self, name: str | None) -> tuple[str | None, str | None]:
        """Return the value of a name and that of ``text``, and forget all."""
        found, self.found = self.found, {}
        return found.get(name or ""), found.get("text")


def read_conll(path: Path, lines: Iterable[str], columns: Columns) -> Iterator[WordsRow]:
    """Yield the sentences of a file.

    Args:
        path: For messages.
        lines: Of the file.
        columns: Which ones are read.

    Raises:
        DataError: A row has another number of columns than the first one, or lacks a wanted one.
    """
    comments, words, tags, begin = Comments(), list[str](), list[str | None](), 1
    width, separator, numbered = _look_ahead(path, enumerate(lines, 1), columns)
    for number, line in numbered:
        fields = _split(line, separator)
        if not line.strip():
            if words:
                yield WordsRow(begin, words, tags, *comments.give(columns.name))
                words, tags = [], []
        elif line.startswith("#") and (len(fields) != width or COMMENT.fullmatch(line)):
            comments.add(line)
        elif fields[0] != DOCUMENT:
            if len(fields) != width:
                raise _ragged(path, number, line, len(fields), width)
            begin = begin if words else number
            words.append(fields[columns.word - 1])
            tag = None if columns.tag is None else fields[columns.tag - 1].strip()
            tags.append(None if tag in UNLABELED else tag)
    if words:
        yield WordsRow(begin, words, tags, *comments.give(columns.name))


def _look_ahead(path: Path, numbered: Iterator[tuple[int, str]], columns: Columns) -> tuple[int, str | None, Numbered]:
    """Return the number of columns, what separates them, and all lines.

    Raises:
        DataError: A wanted column is not there.
    """
    head: list[tuple[int, str]] = []
    for number, line in numbered:
        head.append((number, line))
        # A comment and the first word may begin with the same sign; the first other line tells them apart.
        if line.strip() and not line.startswith(("#", DOCUMENT)):
            separator = "\t" if "\t" in line else None
            width = len(_split(line, separator))
            _check_width(path, number, width, columns)
            return width, separator, itertools.chain(head, numbered)
    return 0, None, iter(head)


def _split(line: str, separator: str | None) -> list[str]:
    # White space of other kinds may be a word, such as the wide space; a column that is missing at the beginning, too.
    return line.split(separator) if separator else SPACES.split(line.rstrip(" "))


def _check_width(path: Path, number: int, width: int, columns: Columns) -> None:
    shown = counted(width, "column")
    for key, wanted in (("word-column", columns.word), ("label", columns.tag)):
        if wanted is not None and wanted > width:
            raise DataError(
                f"{path} has no column {wanted}: the row on line {number} has {shown}.",
                hint=f"Name another one: --{key} {width}.",
            )
    if columns.tag is not None and (columns.tag or width) == columns.word:
        raise DataError(
            f"{path} has no column of tags beside that of the words: the row on line {number} has {shown}.",
            hint="Name them: --word-column 1 --label 2; or say what the file is: --tagging segmented.",
        )


def _ragged(path: Path, number: int, line: str, num_fields: int, width: int) -> DataError:
    return DataError(
        f"{path} line {number} has {counted(num_fields, 'column')}, but the first row has {width}. Got {line[:60]!r}.",
        hint="Repair that line: every word needs all columns, and a blank line ends a sentence.",
    )
