"""Tags of words in the schemes of others, IOB1 to BILOU, to spans of words; it knows no file and no character.

A scheme is found from all tags of a file. Sequences that its scheme does not allow are read as conlleval reads them,
and counted: a tag that goes on with nothing begins a span, one that is left open ends where another begins.

Source: Ramshaw, Marcus 1995, "Text Chunking using Transformation-Based Learning" (IOB1); Tjong Kim Sang, Veenstra 1999,
"Representing Text Chunks", section 2 (IOB2, IOE); Ratinov, Roth 2009, "Design Challenges and Misconceptions in Named
Entity Recognition", section 4 (BILOU).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yanmo.data.tagged.sentence import TagForm
from yanmo.errors import DataError

__all__ = ["UNLABELED", "WORD", "TagNotation", "find_notation", "read_tags"]

OUTSIDE = "O"
UNLABELED = ("_", "-", "")
"""What stands in the place of a tag where none was given."""
WORD, ENTITY = "word", "entity"
"""The kinds of spans whose tags name none: words where every unit is in one, else entities."""
SIGNED = re.compile(r"([BIMESLU])[-_](.+)")
SCHEMES = ("BI", "BIES", "BMES", "BILU")
BARE = frozenset("BIMES")
CLOSING = frozenset("ELSU")


@dataclass(frozen=True, slots=True)
class TagNotation:
    """How the tags of a file are to be read.

    Attributes:
        form: What they say.
        closes: Whether the last tag of a span is another one than those inside of it.
        is_empty: Whether there is nothing but units outside of all spans, which tells no form.
        silence_is_outside: Whether what has no tag is outside of all spans, and not without a label.
    """

    form: TagForm
    closes: bool = False
    is_empty: bool = False
    silence_is_outside: bool = False


def find_notation(lines: Mapping[str, int], path: Path, *, is_partial: bool = False) -> TagNotation:
    """Return how the tags of a file are to be read.

    Args:
        lines: Every tag of the file, to the line of its first one.
        is_partial: Whether some words have no tag.
        path: For messages.

    Raises:
        DataError: Tags of two schemes stand in the file, or no tag at all.
    """
    if not lines:
        raise DataError(
            f"{path} has no tag: all of them are {' or '.join(map(repr, UNLABELED))}.",
            hint="Name another --label column.",
        )
    signs = {tag: found[1] for tag in lines if (found := SIGNED.fullmatch(tag))}
    bare = {tag: tag for tag in lines if tag in BARE}
    others = [tag for tag in lines if tag not in signs and tag not in bare and tag != OUTSIDE]
    has_outside = OUTSIDE in lines
    if signs and set(signs.values()) & set("BI"):
        _check_mixed(path, lines, signs, [*bare, *others])
        closes = bool(set(signs.values()) & CLOSING)
        # Some files write nothing, or _, for what is outside: those that have no O at all.
        is_silent = is_partial and not has_outside
        # Where every unit is in a span, and spans end, each of them is a word with its part of speech.
        form: TagForm = "joint" if closes and not has_outside and not is_silent else "spans"
        return TagNotation(form, closes, silence_is_outside=is_silent)
    if bare and not others and not signs:
        closes = bool(bare.keys() & CLOSING)
        _check_mixed(path, lines, bare, [])
        return TagNotation("spans" if has_outside else "words", closes)
    if set(lines) == {OUTSIDE}:
        return TagNotation("spans", is_empty=True)
    return TagNotation("plain")


def _check_mixed(path: Path, lines: Mapping[str, int], signs: Mapping[str, str], others: Sequence[str]) -> None:
    used = set(signs.values())
    fitting = [scheme for scheme in SCHEMES if used <= set(scheme)]
    if fitting and not others:
        return
    # The first tag of each of the two sides shows best what is mixed.
    ordered = sorted(signs, key=lambda tag: lines[tag])
    first = ordered[0]
    odd = min(others, key=lambda tag: lines[tag]) if others else _odd_one(ordered, signs)
    raise DataError(
        f"{path} mixes two schemes of tags: {first!r} on line {lines[first]}, {odd!r} on line {lines[odd]}.",
        hint="One file has one of: IOB (O, B-x, I-x), BIOES, BMES, BILOU, or plain tags. Check --label, too.",
    )


def _odd_one(ordered: Sequence[str], signs: Mapping[str, str]) -> str:
    """Return the first tag with which no scheme fits any more."""
    for number in range(1, len(ordered) + 1):
        used = {signs[tag] for tag in ordered[:number]}
        if not any(used <= set(scheme) for scheme in SCHEMES):
            return ordered[number - 1]
    return ordered[-1]


def read_tags(tags: Sequence[str | None], notation: TagNotation) -> tuple[list[tuple[int, int, str]], int]:
    """Return the spans of a row of tags, and how many tags its scheme does not allow where they stand.

    Args:
        tags: None where there is none.
        notation: Of the file.

    Returns:
        First word, the word behind the last one, and kind of every span.
    """
    if notation.form == "plain":
        return [(place, place + 1, tag) for place, tag in enumerate(tags) if tag is not None], 0
    nameless = WORD if notation.form == "words" else ENTITY
    spans: list[tuple[int, int, str]] = []
    start, kind, num_repaired = -1, "", 0
    for place, tag in enumerate([*tags, None]):
        sign, name = _split(tag, nameless)
        goes_on = start >= 0 and sign in "IMEL" and name == kind
        if not goes_on:
            if start >= 0:
                spans.append((start, place, kind))
                num_repaired += notation.closes
            num_repaired += sign in "IMEL"
            start, kind = (-1, "") if sign == OUTSIDE else (place, name)
        if start >= 0 and sign in CLOSING:
            spans.append((start, place + 1, kind))
            start = -1
    return spans, num_repaired


def _split(tag: str | None, nameless: str) -> tuple[str, str]:
    if tag is None or tag == OUTSIDE:
        return OUTSIDE, ""
    return (tag, nameless) if len(tag) == 1 else (tag[0], tag[2:])
