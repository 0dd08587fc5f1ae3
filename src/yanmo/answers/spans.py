"""Spans of units: found in rows of tags, written as tags, placed in their text; it knows no model and counts nothing.

Tags that break the rules of their scheme are read as the script of the CoNLL shared tasks reads them: a tag that goes
on with nothing of its kind begins a span, and a span ends where none goes on with it.

Legend: U units of N rows, M spans, C tags.

Source: Tjong Kim Sang, Buchholz 2000, "Introduction to the CoNLL-2000 Shared Task: Chunking", its script ``conlleval``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from yanmo.answers.choices import Choices
from yanmo.answers.tags import NONE, OUTSIDE, WORD, TagScheme, TagStyle, row_edges
from yanmo.arrays import FloatArray, IntArray

__all__ = ["Spans", "find_spans", "least_within_M", "span_probability_M", "tags_of_spans"]


class Spans(Struct, frozen=True):
    """M spans that do not overlap, in the order of their places.

    Attributes:
        start_M: The first unit, counted among the units of all rows, int64.
        end_M: The unit behind the last one, int64.
        kind_M: The kind, a place in the scheme's ``kinds``, int64.
        row_M: The row, int64.
    """

    start_M: IntArray
    end_M: IntArray
    kind_M: IntArray
    row_M: IntArray

    def __len__(self) -> int:
        """Return M."""
        return len(self.start_M)

    def take(self, chosen: IntArray | npt.NDArray[np.bool_]) -> Spans:
        """Return some of the spans: by their places, ascending, or by a mask of shape (M,)."""
        return Spans(self.start_M[chosen], self.end_M[chosen], self.kind_M[chosen], self.row_M[chosen])

    def bounds(self) -> IntArray:
        """Return the first unit and the one behind the last of every span, one after the other, shape (2 * M,)."""
        return np.stack([self.start_M, self.end_M], axis=1).ravel()

    def places_M2(self, places_U2: IntArray) -> IntArray:
        """Return where the spans start and end (exclusive) in the texts of their rows, int64, shape (M, 2).

        Args:
            places_U2: Starts and ends (exclusive) of all units, each counted in the text of its row.
        """
        return np.stack([places_U2[self.start_M, 0], places_U2[self.end_M - 1, 1]], axis=1)

    def texts(self, texts: Sequence[str], places_U2: IntArray) -> list[str]:
        """Return what each span holds of its text.

        Args:
            texts: N texts.
            places_U2: Starts and ends (exclusive) of all units, each counted in the text of its row.
        """
        places = self.places_M2(places_U2).tolist()
        return [texts[row][start:end] for row, (start, end) in zip(self.row_M.tolist(), places, strict=True)]


def find_spans(path_U: IntArray, offsets: IntArray, scheme: TagScheme, *, strict: bool = False) -> Spans:
    """Return the spans of rows of tags; of plain tags every unit is one.

    Args:
        path_U: The tags, as columns; -1 where a unit has none: there no span is.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Of the tags.
        strict: Whether spans are left out that do not begin or do not end as the scheme says.
    """
    kind_D, needs_D, opens_D = scheme.spans_3D
    begins_U, needs_U = row_edges(offsets)[0], needs_D[path_U]
    # A span ends where the next unit does not go on, within a span or outside.
    begins_U[1:] |= (needs_U[1:] == NONE) | (needs_U[1:] != opens_D[path_U[:-1]])
    edges = np.append(np.flatnonzero(begins_U), len(path_U))
    kind_M = kind_D[path_U[edges[:-1]]]
    begins = np.flatnonzero(kind_M != NONE)
    start_M, end_M = edges[begins], edges[begins + 1]
    row_U = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    spans = Spans(start_M, end_M, kind_M[begins], row_U[start_M])
    if strict:
        return spans.take((needs_U[start_M] == NONE) & ~scheme.must_C[path_U[end_M - 1]])
    return spans


def span_probability_M(evidence: Choices, path_U: IntArray, scheme: TagScheme, spans: Spans) -> FloatArray:
    """Return how sure each span is, in [0, 1], float32, shape (M,).

    Where the model has a chain it is the probability of the span as a whole. Else it is the least of the probabilities
    of the span's tags and of that its next unit does not go on with it: the span is never more probable than that.

    Args:
        evidence: Probabilities of every unit's tags.
        path_U: The tags that were chosen.
        scheme: Of the tags.
        spans: Of the path.
    """
    joint_M = None if evidence.joint_M is None else evidence.joint_M[spans.start_M]
    if joint_M is not None and not np.isnan(joint_M).any():
        return joint_M
    probabilities_UC, offsets = evidence.values_MC, evidence.offsets_N
    chosen_U = np.take_along_axis(probabilities_UC, path_U[:, None], axis=1)[:, 0]
    least_M = least_within_M(chosen_U, spans)
    # Only in IOB2 may a span that has ended be gone on with, and by no unit of another row.
    could = (scheme.opens_C[path_U[spans.end_M - 1]] != NONE) & (spans.end_M < offsets[spans.row_M + 1])
    going_on_KC = scheme.needs_C[None, :] == np.arange(len(scheme.kinds))[:, None]
    next_MC = probabilities_UC[spans.end_M[could]] * going_on_KC[spans.kind_M[could]]
    least_M[could] = np.minimum(least_M[could], 1 - next_MC.sum(axis=1))
    if joint_M is not None:
        least_M = np.where(np.isnan(joint_M), least_M, joint_M)
    return np.asarray(np.clip(least_M, 0, 1), dtype=np.float32)


def least_within_M(values_U: FloatArray, spans: Spans) -> FloatArray:
    """Return the least of the values of every span's units, shape (M,)."""
    if not len(spans):
        return values_U[:0]
    # Every second of these stretches is a span, the others lie between; a last 1 lets a span end with the last unit.
    return np.asarray(np.minimum.reduceat(np.append(values_U, np.float32(1)), spans.bounds())[::2])


def tags_of_spans(
    starts: Sequence[int], ends: Sequence[int], kinds: Sequence[str], num_units: int, *, style: TagStyle = "iob2"
) -> list[str | None]:
    """Return the tags of one row.

    Args:
        starts: The first unit of each span; spans do not overlap.
        ends: The unit behind its last one.
        kinds: Its kind; in BMES ``word`` gives tags without a kind.
        num_units: Units of the row.
        style: How spans are written: in IOB2 other units are outside, else they have no tag, None.
    """
    tags: list[str | None] = [OUTSIDE if style == "iob2" else None] * num_units
    for start, end, kind in zip(starts, ends, kinds, strict=True):
        tags[start:end] = _write(kind, end - start, style)
    return tags


def _write(kind: str, length: int, style: TagStyle) -> list[str]:
    if style == "plain":
        return [kind] * length
    if style == "iob2":
        return [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
    suffix = "" if kind == WORD else f"-{kind}"
    letters = "S" if length == 1 else "B" + "M" * (length - 2) + "E"
    return [letter + suffix for letter in letters]
