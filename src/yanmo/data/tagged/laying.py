"""Spans of characters to one tag a unit, or the reason why that cannot be; it knows no file.

Tags are written in one of three schemes: ``O``, ``B-kind`` and ``I-kind`` (IOB2); ``B``, ``M``, ``E`` and ``S``, with
or without a kind (BMES); or the kind alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from yanmo.data.tagged.sentence import TaggedText

__all__ = ["SPAN_REASONS", "Laid", "TagWriting", "lay_spans"]

TagWriting: TypeAlias = Literal["IOB2", "BMES", "BMES-kind", "plain"]

SPAN_REASONS = (
    "span outside of the text",
    "span text differs",
    "span without a unit",
    "discontinuous span",
    "nested spans",
    "overlapping spans",
    "span cuts a unit",
    "word is not one unit",
    "text without a unit",
    "not accepted",
    "not a tag for every word",
    "tag without a name",
)
"""Why a text with labeled parts is refused, beside what is wrong with single labels."""


@dataclass(frozen=True, slots=True)
class Laid:
    """What became of the spans of a text.

    Attributes:
        tags: One a unit, None for a unit without a label; None where the text is refused.
        kinds: Those of the spans, in their order.
        problem: Why it is refused.
        num_repeated: Spans that were given more than once.
        num_trimmed: Spans with white space at their edges, which is left out.
    """

    tags: list[str | None] | None
    kinds: list[str]
    problem: str | None = None
    num_repeated: int = 0
    num_trimmed: int = 0


def lay_spans(text: TaggedText, starts: Sequence[int], ends: Sequence[int], writing: TagWriting) -> Laid:
    """Return the tags of a text's units.

    Args:
        text: With its spans.
        starts: Where each unit begins, ascending.
        ends: Where each unit ends.
        writing: How the tags are written.
    """
    problem = text.problem or (None if starts else "text without a unit")
    spans = sorted(set(text.spans), key=lambda span: (span[0], -span[1]))
    if not problem:
        problem = _span_problem(spans, len(text.text or ""))
    if problem:
        return Laid(None, [], problem)
    # Outside of all spans nothing is said, but where spans are all that there is.
    tags: list[str | None] = ["O" if writing == "IOB2" else None] * len(starts)
    num_trimmed = 0
    for start, end, kind in spans:
        first, last = bisect_left(starts, start), bisect_right(ends, end)
        # A unit may begin before the span and end in it, or begin in it and end behind it.
        if (first and ends[first - 1] > start) or (last < len(starts) and starts[last] < end):
            return Laid(None, [], "span cuts a unit")
        if first >= last:
            return Laid(None, [], "span without a unit")
        if writing == "plain" and last - first > 1:
            return Laid(None, [], "word is not one unit")
        tags[first:last] = WRITERS[writing](kind, last - first)
        num_trimmed += starts[first] > start or ends[last - 1] < end
    for start, end in text.unlabeled:
        first, last = bisect_left(starts, start), bisect_right(ends, end)
        tags[first:last] = [None] * (last - first)
    if not any(tags):
        return Laid(None, [], "missing label")
    return Laid(tags, [kind for _, _, kind in spans], None, len(text.spans) - len(spans), num_trimmed)


def _span_problem(spans: Sequence[tuple[int, int, str]], length: int) -> str | None:
    """Return what is wrong with spans, which are sorted by their starts, the longer one first."""
    furthest = (0, 0)
    for start, end, _ in spans:
        if start < 0 or end > length or start > end:
            return "span outside of the text"
        if start < furthest[1]:
            return "nested spans" if end <= furthest[1] else "overlapping spans"
        furthest = (start, end)
    return None


def _iob2(kind: str, length: int) -> list[str]:
    return [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]


def _bmes(kind: str, length: int) -> list[str]:  # noqa: ARG001
    return ["S"] if length == 1 else ["B", *["M"] * (length - 2), "E"]


def _bmes_kind(kind: str, length: int) -> list[str]:
    return [f"{sign}-{kind}" for sign in _bmes(kind, length)]


def _plain(kind: str, length: int) -> list[str]:
    return [kind] * length


WRITERS: Mapping[str, Callable[[str, int], list[str]]] = MappingProxyType(
    {"IOB2": _iob2, "BMES": _bmes, "BMES-kind": _bmes_kind, "plain": _plain}
)
