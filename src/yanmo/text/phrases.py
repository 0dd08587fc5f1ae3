"""Where phrases and patterns stand in texts: whole words where letters of an alphabet meet; it knows no label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import polars as pl

__all__ = ["TextMatch", "find_patterns", "find_phrases"]

LETTER = re.compile(r"[^\W_]", re.ASCII)
"""What runs on from a letter or digit beside it: "Ann" does not stand in "Annual", but 云 does in 云南."""


class TextMatch(NamedTuple):
    """A place in one of N texts.

    Attributes:
        row: The text.
        start: The first character.
        end: The character behind the last one.
        number: Which of the phrases or patterns stands there.
    """

    row: int
    start: int
    end: int
    number: int


def find_phrases(texts: Sequence[str], phrases: Sequence[str]) -> list[TextMatch]:
    """Return where phrases stand, of overlapping ones the first and of those the longest, row by row.

    Args:
        texts: N texts.
        phrases: Distinct and not empty; they are found as they are written.
    """
    if not phrases:
        return []
    numbers = {phrase: number for number, phrase in enumerate(phrases)}
    column = pl.Series(texts, dtype=pl.String)
    frame = pl.DataFrame(
        {
            # One automaton for all phrases; the two calls name the matches in the same order.
            "start": column.str.find_many(list(phrases), overlapping=True),
            "phrase": column.str.extract_many(list(phrases), overlapping=True),
        }
    ).with_row_index("row")
    found = frame.explode("start", "phrase", empty_as_null=False).drop_nulls("phrase")
    matches = []
    for row, group in groupby(found.iter_rows(), key=lambda one: one[0]):
        text = texts[row]
        raw = text.encode()
        placed = [(len(raw[:start].decode()), phrase) for _, start, phrase in group]
        whole = [
            TextMatch(row, start, start + len(phrase), numbers[phrase])
            for start, phrase in placed
            if _stands_alone(text, start, start + len(phrase))
        ]
        matches += _apart(whole)
    return matches


def find_patterns(texts: Sequence[str], patterns: Sequence[re.Pattern[str]]) -> list[TextMatch]:
    """Return where patterns match with at least one character, row by row; a group called ``name`` is the match."""
    matches = []
    for row, text in enumerate(texts):
        for number, pattern in enumerate(patterns):
            group = "name" if "name" in pattern.groupindex else 0
            spans = [one.span(group) for one in pattern.finditer(text)]
            matches += [TextMatch(row, start, end, number) for start, end in spans if end > start]
    return matches


def _stands_alone(text: str, start: int, end: int) -> bool:
    runs_in = start > 0 and LETTER.match(text[start]) and LETTER.match(text[start - 1])
    runs_on = end < len(text) and LETTER.match(text[end - 1]) and LETTER.match(text[end])
    return not (runs_in or runs_on)


def _apart(matches: Sequence[TextMatch]) -> list[TextMatch]:
    """Return matches of one row that do not overlap."""
    found: list[TextMatch] = []
    for one in sorted(matches, key=lambda one: (one.start, -one.end)):
        if not found or one.start >= found[-1].end:
            found.append(one)
    return found
