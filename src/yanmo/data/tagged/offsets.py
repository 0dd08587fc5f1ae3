"""What the ends of given spans count, found for a whole file, and the spans in characters; it knows no format.

Tools count characters, UTF-16 units (whatever is written in JavaScript or Java) or bytes, and some name the last
character instead of the one behind it. Where all of these are the same nothing has to be found. Else the reading counts
in which most spans are right: a span is right where it holds what the file says that it holds; where the file does not
say it, where it neither begins nor ends within a word or at white space.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from yanmo.data.tagged.sentence import GivenSpan, SpansRow, TaggedText

__all__ = ["OffsetReading", "convert_spans", "find_reading"]


@dataclass(frozen=True, slots=True)
class OffsetReading:
    """What the ends of a file's spans mean.

    Attributes:
        counted: What they count.
        is_inclusive: Whether the end is the last one and not the one behind it.
    """

    counted: Literal["characters", "UTF-16 units", "bytes"] = "characters"
    is_inclusive: bool = False

    @property
    def is_usual(self) -> bool:
        """Whether nothing has to be converted."""
        return self == OffsetReading()

    def __str__(self) -> str:
        return f"{self.counted}, the last one included" if self.is_inclusive else self.counted


READINGS = tuple(
    OffsetReading(counted, is_inclusive)
    for counted in ("characters", "UTF-16 units", "bytes")
    for is_inclusive in (False, True)
)
"""The usual ones first: of readings that are right equally often the first one counts."""


def find_reading(rows: Iterable[SpansRow]) -> OffsetReading:
    """Return the reading in which most spans of a file are right."""
    right: Counter[OffsetReading] = Counter()
    for row in rows:
        if row.text is None or not row.spans:
            continue
        for reading in READINGS:
            # In ASCII a character, a UTF-16 unit and a byte are the same, which _places knows.
            right[reading] += _num_right(row.text, row.spans, reading)
    return max(READINGS, key=lambda reading: right[reading])


def _num_right(text: str, spans: Sequence[GivenSpan], reading: OffsetReading) -> int:
    number = 0
    places = _places(text, reading)
    for span in spans:
        found = _find(span, places, reading)
        if found is None or (reading.is_inclusive and span.surface is None):
            continue
        start, end = found
        number += _is_clean(text, start, end) if span.surface is None else _is_same(text[start:end], span.surface)
    return number


def convert_spans(row: SpansRow, reading: OffsetReading) -> TaggedText:
    """Return a row with its spans in characters.

    Args:
        row: With its spans as they are given.
        reading: Of the file.
    """
    text, spans, problem = row.text or "", [], row.problem
    places = _places(text, reading)
    for span in row.spans:
        found = _find(span, places, reading)
        if found is None:
            problem = problem or "span outside of the text"
        elif span.surface is not None and not _is_same(text[slice(*found)], span.surface):
            problem = problem or "span text differs"
        else:
            spans.append((*found, span.kind))
    return TaggedText(row.line, row.text, spans, name=row.name, problem=problem)


def _places(text: str, reading: OffsetReading) -> dict[int, int] | range:
    """Return what the reading counts before each character, and in all, to the number of characters there."""
    if reading.counted == "characters" or text.isascii():
        return range(len(text) + 1)
    # A lone surrogate has no bytes of its own in UTF-8; Python would write it as three.
    width = _utf16_width if reading.counted == "UTF-16 units" else _utf8_width
    return {place: number for number, place in enumerate(accumulate(map(width, text), initial=0))}


def _utf16_width(character: str) -> int:
    return 2 if character > "\uffff" else 1


def _utf8_width(character: str) -> int:
    return len(character.encode("utf-8", "surrogatepass"))


def _find(span: GivenSpan, places: dict[int, int] | range, reading: OffsetReading) -> tuple[int, int] | None:
    """Return the start and end of a span in characters; None where it is outside, or an end is within a character."""
    end = span.end + reading.is_inclusive
    if span.start not in places or end not in places:
        return None
    return places[span.start], places[end]


def _is_same(found: str, surface: str) -> bool:
    # Tools write a line end within a span as a space.
    return found == surface or found.split() == surface.split()


def _is_clean(text: str, start: int, end: int) -> bool:
    part = text[start:end]
    return (
        bool(part)
        and not part[0].isspace()
        and not part[-1].isspace()
        and not (_cuts_word(text, start) or _cuts_word(text, end))
    )


def _cuts_word(text: str, place: int) -> bool:
    around = text[max(place - 1, 0) : place + 1]
    # Only scripts with spaces between words: an ideograph is a word for itself, as far as this can tell.
    return 0 < place < len(text) and around.isalnum() and all(one < "\u2e80" for one in around)
