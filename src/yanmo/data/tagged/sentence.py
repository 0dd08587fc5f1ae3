"""What readers of formats give, and the one form that it becomes: a text with spans of characters; no file here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["GivenArc", "GivenSpan", "Multiword", "SpansRow", "TagForm", "TaggedText", "WordsRow"]

TagForm: TypeAlias = Literal["spans", "words", "joint", "plain"]
"""spans: some parts of a text have a kind. words: where words begin and end. joint: words, each with a kind, in tags of
characters. plain: every word has a tag of its own."""


@dataclass(frozen=True, slots=True)
class Multiword:
    """Several words that are written as one, as Spanish ``vámonos`` for ``vamos nos``.

    Attributes:
        first: The first of its words.
        last: The word behind the last one.
        surface: How they are written.
    """

    first: int
    last: int
    surface: str


@dataclass(frozen=True, slots=True)
class GivenArc:
    """What a file says about a word's place in its tree.

    Attributes:
        line: Where the word stands in the file, from 1.
        head: As it is written.
        relation: As it is written.
    """

    line: int
    head: str
    relation: str


@dataclass(frozen=True, slots=True)
class WordsRow:
    """A sentence as its words.

    Attributes:
        line: Where it begins in its file, from 1.
        words: As they are written.
        tags: One a word, as the file has it; None where it gives none.
        name: The file's own name of the sentence, if it is asked for.
        text: The sentence as it was before it was cut into words, if the file says so.
        spaces: Whether a space follows each word, if the file says so.
        multiwords: Those that are written as one.
        arcs: One a word, if they are asked for.
        problem: Why it cannot be used, if that shows at once.
    """

    line: int
    words: list[str]
    tags: list[str | None]
    name: str | None = None
    text: str | None = None
    spaces: list[bool] | None = None
    multiwords: list[Multiword] = field(default_factory=list)
    arcs: list[GivenArc] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class GivenSpan:
    """A labeled part of a text, as a file gives it.

    Attributes:
        start: Where it begins, in whatever the file counts.
        end: Where it ends.
        kind: Its label.
        surface: The part itself, if the file has it.
    """

    start: int
    end: int
    kind: str
    surface: str | None = None


@dataclass(frozen=True, slots=True)
class SpansRow:
    """A text with the spans that a file gives.

    Attributes:
        line: Where it stands in its file, from 1.
        text: As it is; None where the file has none.
        spans: In any order.
        name: The file's own name of the text, if it is asked for.
        problem: Why it cannot be used, if that shows at once.
    """

    line: int
    text: str | None
    spans: list[GivenSpan]
    name: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A text with labeled parts, whatever format it had.

    Attributes:
        line: Where it begins in its file.
        text: As it is.
        spans: Start, end (exclusive) and kind of each, in characters of the text.
        unlabeled: Start and end of the parts about which nothing is said.
        name: The file's own name of it.
        problem: Why it cannot be used.
    """

    line: int
    text: str | None
    spans: list[tuple[int, int, str]]
    unlabeled: list[tuple[int, int]] = field(default_factory=list)
    name: str | None = None
    problem: str | None = None
