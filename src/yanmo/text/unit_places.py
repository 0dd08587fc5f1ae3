"""Where the units of texts stand: characters, or words between spaces; it knows no label and no model.

A unit is what a decision is made about when the parts of a text are labeled. Its place counts characters of the text as
it was given, so whatever is done to the unit's own characters later moves no place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from yanmo.arrays import IntArray, Ragged
from yanmo.text.columns import SEPARATOR, join_column
from yanmo.text.surfaces import Surfaces
from yanmo.text.units import cjk_share, code_points, mix, units

__all__ = ["UnitRule", "choose_rule", "cut_places", "cut_units", "unit_places"]

UnitRule: TypeAlias = Literal["characters", "words", "tokens"]
"""characters: every character but white space. words: what stands between white space. tokens: runs of word characters;
every ideograph, mark and symbol by itself."""

FEW = 100
"""So few pieces are cut one by one."""
# What str.isspace says yes to; the last place stands for all code points behind, of which none is a space.
_IS_SPACE = np.array([chr(point).isspace() for point in range(0x3002)])


def choose_rule(texts: Sequence[str]) -> UnitRule:
    """Return characters for texts that are mostly Chinese or Japanese, else words."""
    return "characters" if cjk_share(texts) > 0.5 else "words"


def unit_places(texts: Sequence[str], rule: UnitRule) -> Ragged:
    """Return where each unit begins and ends.

    Args:
        texts: N texts.
        rule: What a unit is.

    Returns:
        Starts and ends (exclusive) in characters of the unit's own text, int64, shape (U, 2), of N rows.
    """
    # A separator within a text becomes a space when texts are joined: a character for a character.
    points = code_points(join_column(texts))
    lengths_N = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    # Each text is followed by one separator.
    begins_N = np.concatenate(([0], np.cumsum(lengths_N + 1)))[:-1].astype(np.int64)
    starts_U, ends_U = _cut(points, rule)
    offsets = np.searchsorted(starts_U, np.append(begins_N, len(points) + 1)).astype(np.int64)
    shift_U = np.repeat(begins_N, np.diff(offsets))
    return Ragged(np.stack([starts_U - shift_U, ends_U - shift_U], axis=1), offsets)


def _cut(points: np.ndarray[tuple[int], np.dtype[np.uint32]], rule: UnitRule) -> tuple[IntArray, IntArray]:
    """Return starts and ends of all units in a joined column."""
    if rule == "tokens":
        starts_U, ends_U, _ = units(points, mix(points), cjk_words=False)
        return starts_U, ends_U
    is_space = _IS_SPACE[np.minimum(points, len(_IS_SPACE) - 1)]
    if rule == "characters":
        starts_U = np.flatnonzero(~is_space)
        return starts_U, starts_U + 1
    # A word begins after a space and ends before one; the column's ends count as spaces.
    edges = np.diff(np.concatenate(([True], is_space, [True])).astype(np.int8))
    return np.flatnonzero(edges == -1), np.flatnonzero(edges == 1)


def cut_units(texts: Sequence[str], places: Ragged) -> Surfaces:
    """Return the units themselves, those of all texts together.

    Args:
        texts: N texts.
        places: Of their units.
    """
    starts_U, ends_U = places.values[:, 0], places.values[:, 1]
    if (ends_U - starts_U == 1).all():
        lengths_N = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        begins_N = np.cumsum(lengths_N + 1) - lengths_N - 1
        points_U = code_points(join_column(texts))[starts_U + np.repeat(begins_N, places.lengths_N)]
        return Surfaces.of_characters(points_U)
    return Surfaces.of(cut_places(texts, places))


def cut_places(texts: Sequence[str], places: Ragged) -> list[str]:
    """Return what stands at some places of texts, those of all texts in one list.

    Args:
        texts: N texts.
        places: Where what is cut out begins and ends (exclusive) in its text, int64, shape (M, 2), N rows.
    """
    joined = SEPARATOR.join(texts)
    if len(places.values) < FEW or joined.count(SEPARATOR) >= len(texts):
        rows = pairwise(places.offsets.tolist())
        flat = places.values.tolist()
        return [
            text[start:stop]
            for text, (first, last) in zip(texts, rows, strict=True)
            for start, stop in flat[first:last]
        ]
    # Each with the character behind it, which becomes a separator: a string is split faster than many are cut.
    lengths_N = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    starts_M = places.values[:, 0] + np.repeat(np.cumsum(lengths_N + 1) - lengths_N - 1, places.lengths_N)
    sizes_M = places.values[:, 1] - places.values[:, 0] + 1
    ends_M = np.cumsum(sizes_M)
    points = code_points(joined).take(
        np.arange(ends_M[-1]) + np.repeat(starts_M - ends_M + sizes_M, sizes_M), mode="clip"
    )
    points[ends_M - 1] = ord(SEPARATOR)
    pieces: list[str] = points.tobytes().decode("utf-32-le", "surrogatepass").split(SEPARATOR)
    return pieces[:-1]
