"""What the tags of units mean: where spans begin, go on and end, and which tag may follow which; it knows no text.

A Dataset has one of three styles, found from the names of its labels:

* ``iob2``: ``B-kind`` for the first unit of a span, ``I-kind`` for its others, ``O`` outside (entities, slots).
* ``bmes``: ``B``, ``M``, ``E`` for the first, the middle and the last units of a word, ``S`` for a word of one unit;
  all of them alone (segmentation) or all with a kind, ``B-NOUN`` (words with their part of speech).
* ``plain``: any other names, one tag a unit and no constraint (parts of speech of given words).

Legend: U units, C tags, K kinds of spans.

Source: Ramshaw, Marcus 1995, "Text Chunking using Transformation-Based Learning" (IOB); Xue 2003, "Chinese Word
Segmentation as Character Tagging" (BMES).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray

__all__ = ["TagScheme", "TagStyle", "row_edges"]

TagStyle: TypeAlias = Literal["iob2", "bmes", "plain"]

OUTSIDE = "O"
WORD = "word"
"""The kind of spans that are tagged B, M, E and S alone."""
NONE = -1
WITH_KIND = re.compile(r"[BIMES]-.", re.DOTALL)


@dataclass(frozen=True)
class TagScheme:
    """What each of C tags means.

    A tag may follow another one where the span that it needs is the one that the other leaves open; a tag that needs
    none may follow whatever need not go on.

    Attributes:
        style: How spans are written.
        kinds: The kinds of spans, sorted; of plain tags the tags themselves, in their order.
        kind_C: The kind of each tag, int64; -1 outside.
        needs_C: The kind of the span that must be open before the tag, int64; -1 where the tag begins anew.
        opens_C: The kind of the span that is open behind the tag, int64; -1 where none can go on.
        must_C: Whether that span must go on, bool: with this tag no row ends.
    """

    style: TagStyle
    kinds: tuple[str, ...]
    kind_C: IntArray
    needs_C: IntArray
    opens_C: IntArray
    must_C: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, labels: Sequence[str]) -> Self:
        """Return the scheme of a Dataset's labels, columns in their order.

        Some tags of a kind may be missing, as where no word has three units. ``B-kind`` alone is IOB2.
        """
        style = _style(labels)
        names = [_split(label, style) for label in labels]
        kinds = tuple(labels) if style == "plain" else tuple(sorted({kind for _, kind in names if kind is not None}))
        places = {kind: place for place, kind in enumerate(kinds)}
        kind_C = np.array([NONE if kind is None else places[kind] for _, kind in names], dtype=np.int64)
        # What goes on, and what may be gone on with, by the first letters of the tags.
        goes_on, is_open = ("I", "BI") if style == "iob2" else ("ME", "BM") if style == "bmes" else ("", "")
        needs_C = np.where([bool(part) and part in goes_on for part, _ in names], kind_C, NONE)
        opens_C = np.where([bool(part) and part in is_open for part, _ in names], kind_C, NONE)
        return cls(style, kinds, kind_C, needs_C, opens_C, (opens_C != NONE) & (style == "bmes"))

    @property
    def is_plain(self) -> bool:
        """Whether every unit is labeled by itself."""
        return self.style == "plain"

    @cached_property
    def may_follow_CC(self) -> npt.NDArray[np.bool_]:
        """Whether a tag (row) may stand before a tag (column)."""
        begins = self.needs_C == NONE
        return np.where(begins[None, :], ~self.must_C[:, None], self.opens_C[:, None] == self.needs_C[None, :])

    @cached_property
    def goes_on_CC(self) -> npt.NDArray[np.bool_]:
        """Whether a tag (column) goes on with the span of the tag before it (row)."""
        return np.asarray((self.needs_C != NONE)[None, :] & (self.opens_C[:, None] == self.needs_C[None, :]))

    @cached_property
    def may_begin_C(self) -> npt.NDArray[np.bool_]:
        """Whether a row may begin with a tag."""
        return np.asarray(self.needs_C == NONE)

    @cached_property
    def may_end_C(self) -> npt.NDArray[np.bool_]:
        """Whether a row may end with a tag."""
        return ~self.must_C

    @cached_property
    def spans_3D(self) -> IntArray:
        """``kind_C``, ``needs_C`` and ``opens_C``, with -1 behind the last: what the tag -1, which is none, has."""
        return np.pad([self.kind_C, self.needs_C, self.opens_C], ((0, 0), (0, 1)), constant_values=NONE)

    def broken_U(self, path_U: IntArray, offsets: IntArray) -> npt.NDArray[np.bool_]:
        """Return at which units rows of tags are illegal, bool, shape (U,).

        A unit is where its tag may not follow the one before it, may not begin the row, or may not end it.

        Args:
            path_U: The tags, as columns.
            offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        """
        is_first, is_last = row_edges(offsets)
        open_U, must_U = self._before(path_U, is_first)
        needs_U = self.needs_C[path_U]
        broken = np.where(needs_U == NONE, must_U, open_U != needs_U)
        return np.asarray(broken | (is_last & self.must_C[path_U]))

    def _before(self, path_U: IntArray, is_first_U: npt.NDArray[np.bool_]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the kind that is open before each unit, and whether it must go on; nothing is before a row."""
        open_U, must_U = np.full(len(path_U), NONE, dtype=np.int64), np.zeros(len(path_U), dtype=np.bool_)
        open_U[1:], must_U[1:] = self.opens_C[path_U[:-1]], self.must_C[path_U[:-1]]
        open_U[is_first_U], must_U[is_first_U] = NONE, False
        return open_U, must_U


def row_edges(offsets: IntArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which units are the first and which the last of their rows, bool, each of shape (U,).

    Args:
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
    """
    is_first, is_last = np.zeros((2, int(offsets[-1])), dtype=np.bool_)
    # A row without units has neither; its offset is that of another row's first unit.
    filled = offsets[1:] > offsets[:-1]
    is_first[offsets[:-1][filled]] = True
    is_last[offsets[1:][filled] - 1] = True
    return is_first, is_last


def _style(labels: Sequence[str]) -> TagStyle:
    spans = [label for label in labels if label != OUTSIDE]
    letters = {label[:1] for label in spans}
    if spans and all(WITH_KIND.match(label) for label in spans):
        if letters <= set("BI"):
            return "iob2"
        if letters <= set("BMES") and len(spans) == len(labels):
            return "bmes"
    # Words can be written at all where one of a single unit can, or one of two.
    is_segmentation = set(labels) <= set("BMES") and ("S" in labels or {"B", "E"} <= set(labels))
    return "bmes" if is_segmentation else "plain"


def _split(label: str, style: TagStyle) -> tuple[str, str | None]:
    """Return the first letter of a tag, or "" where it has no meaning of its own, and the kind of its span."""
    if style == "plain":
        return "", label
    if style == "iob2" and label == OUTSIDE:
        return "", None
    return label[0], label[2:] or WORD
