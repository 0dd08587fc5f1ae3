"""A tree of words as a drawing: arcs above the words, as SVG that needs nothing from outside; it knows no Report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["draw_tree"]

LETTER, WIDE, GAP, STEP, LINE = 8, 15, 22, 22, 16
"""Pixels of a letter, of an ideograph, between words, between the heights of arcs, and of a line of text."""
LEAST_WORD = 34
FIRST_WIDE = 0x2E80


def draw_tree(
    words: Sequence[str],
    heads: Sequence[int],
    relations: Sequence[str],
    *,
    truth: tuple[Sequence[int], Sequence[str]] | None = None,
) -> str:
    """Return a drawing of one sentence.

    Args:
        words: As they are written.
        heads: The number of each word's head, from 1; 0 for the root. Heads beyond the last word are not drawn.
        relations: The relation of each word.
        truth: The true heads and relations: arcs that differ have the class ``wrong``, and the true ones stand below.
    """
    widths = [
        max(_width(word), _width(name) if name else 0, LEAST_WORD) for word, name in zip(words, relations, strict=True)
    ]
    centers, left = [], GAP
    for width in widths:
        centers.append(left + width // 2)
        left += width + GAP
    missed = [] if truth is None else _missed(heads, relations, *truth)
    above = _heights(heads, len(words))
    below = _heights([head for _, head, _ in missed], len(words), [place for place, _, _ in missed])
    base = LINE + STEP * (max(above, default=0) + 1)
    wrong = {place for place, _, _ in missed}
    parts = [
        _arc(centers, place, head, name, (base - LINE, -STEP * above[place]), "wrong" if place in wrong else "arc")
        for place, (head, name) in enumerate(zip(heads, relations, strict=True))
        if head <= len(words)
    ]
    parts += [
        _arc(centers, place, head, name, (base + LINE // 2, STEP * below[number]), "missed")
        for number, (place, head, name) in enumerate(missed)
        if head <= len(words)
    ]
    parts += [
        f'<text class="word" x="{center}" y="{base}" text-anchor="middle">{escape(word)}</text>'
        for word, center in zip(words, centers, strict=True)
    ]
    height = base + LINE + STEP * (max(below, default=0) + (1 if missed else 0))
    title = escape(" ".join(words))
    return (
        f'<svg class="tree" role="img" aria-label="{title}" viewBox="0 0 {left} {height}" width="{left}" '
        f'height="{height}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _missed(
    heads: Sequence[int], relations: Sequence[str], true_heads: Sequence[int], true_relations: Sequence[str]
) -> list[tuple[int, int, str]]:
    """Return place, head and relation of the words that the truth has otherwise."""
    rows = zip(heads, relations, true_heads, true_relations, strict=True)
    return [
        (place, true_head, true_name)
        for place, (head, name, true_head, true_name) in enumerate(rows)
        if (head, name) != (true_head, true_name)
    ]


def _heights(heads: Sequence[int], num_words: int, places: Sequence[int] | None = None) -> list[int]:
    """Return how high each arc is, from 1: higher than all that it spans."""
    places = range(len(heads)) if places is None else places
    spans = [(min(place + 1, head), max(place + 1, head)) for place, head in zip(places, heads, strict=True)]
    heights = [1] * len(spans)
    reached = [0] * (num_words + 2)
    for number in sorted(range(len(spans)), key=lambda one: spans[one][1] - spans[one][0]):
        low, high = spans[number]
        if low == 0 or high > num_words:
            continue
        heights[number] = 1 + max(reached[low:high])
        reached[low:high] = [heights[number]] * (high - low)
    return heights


def _arc(centers: Sequence[int], place: int, head: int, name: str, heights: tuple[int, int], kind: str) -> str:
    """Return an arc with its name.

    Args:
        centers: Of the words.
        place: Of the word that has the head.
        head: Its number; 0 for the root.
        name: Of the relation.
        heights: Where the arc begins, and how far it rises; downwards is positive.
        kind: Its class.
    """
    (base, rise), end = heights, centers[place]
    top = base + (rise if head else (-STEP if rise < 0 else STEP))
    start = centers[head - 1] if head else end
    way = f"M{start} {base}V{top}H{end}V{base}" if head else f"M{end} {top}V{base}"
    return (
        f'<path class="{kind}" d="{way}" fill="none"/>'
        f'<text class="{kind}" x="{(start + end) // 2}" y="{top - 2}" text-anchor="middle">{escape(name)}</text>'
    )


def _width(text: str) -> int:
    return sum(WIDE if ord(letter) >= FIRST_WIDE else LETTER for letter in text)
