"""The best path of tags that breaks no rule of their scheme, for ragged rows; it knows no model and no text.

Legend: U units of N rows, C tags, K kinds of spans.
"""

from __future__ import annotations

import numpy as np

from yanmo.answers.chains import Steps
from yanmo.answers.tags import NONE, TagScheme
from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged

__all__ = ["best_legal"]

# What is impossible by the probabilities is still possible where nothing else is legal.
LEAST = 1e-30
# More than the units of a row of 10 million together could gain: no path breaks a rule that another one keeps.
BREAK = 1e9
# 32 MB of float64 at a time.
CHUNK_CELLS = 4_000_000


def best_legal(
    probabilities_UC: FloatArray, offsets: IntArray, scheme: TagScheme, *, are_logs: bool = False
) -> IntArray:
    """Return every unit's tag on the legal path with the largest product of probabilities, int64, shape (U,).

    Where a row has no legal path, as one unit has none if no tag is a whole word, it is the path with the fewest
    breaks of the rules, and of these the most probable one.

    Args:
        probabilities_UC: Of every unit's tags.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Says what is legal.
        are_logs: They are logarithms up to a constant of the unit.

    Source: Viterbi 1967, "Error Bounds for Convolutional Codes". Differs: as only the span that is open restricts what
    may follow, a step takes the best of all tags and the best of each kind: C work for a unit and not C squared.
    """
    if not len(probabilities_UC):
        return np.zeros(0, dtype=np.int64)
    path_U: IntArray = probabilities_UC.argmax(axis=1)
    broken = np.flatnonzero(scheme.broken_U(path_U, offsets))
    if not len(broken):
        return path_U
    # The best tags one by one are the best path wherever they are a legal one; few rows are left to be searched.
    rows = np.unique(np.searchsorted(offsets, broken, side="right") - 1)
    ends = np.cumsum(offsets[rows + 1] - offsets[rows]) * probabilities_UC.shape[1]
    # A table of all tags of all units of many rows would be large; a row's own path is the same in any piece.
    for piece in np.split(rows, np.flatnonzero(np.diff(ends // CHUNK_CELLS)) + 1):
        units = Ragged(np.arange(len(path_U)), offsets).take(piece)
        found = probabilities_UC[units.values].astype(np.float64)
        if are_logs:
            found = np.exp(found - found.max(axis=1, keepdims=True))
        scores = np.log(np.maximum(found, LEAST))
        path_U[units.values] = _search(scores, Steps.of(units.offsets), scheme)
    return path_U


def _search(scores_UC: Doubles, steps: Steps, scheme: TagScheme) -> IntArray:
    """Return the best path of every row."""
    num_tags = scores_UC.shape[1]
    scores, goes_on_C = scores_UC[steps.units_U], scheme.needs_C != NONE
    must_C, openers_KO = scheme.must_C * BREAK, _openers(scheme)
    # Where each tag comes from: the best opener of its kind, or, behind those, the best tag that need not go on.
    origin_C = np.where(goes_on_C, scheme.needs_C, len(openers_KO))
    kinds_K = np.arange(len(openers_KO))
    # One column more than tags: to break a rule, and from which tag.
    pointers = np.zeros((len(scores), num_tags + 1), dtype=np.int64)
    reached = np.zeros((0, num_tags))
    for begin, end in steps.bounds():
        if begin == 0:
            reached = scores[begin:end] - goes_on_C * BREAK
            continue
        rows_N, before = np.arange(end - begin), reached[: end - begin]
        anyhow_N, unbound = before.argmax(axis=1), before - must_C
        free_N = unbound.argmax(axis=1)
        choices = np.concatenate([before, before[rows_N, anyhow_N, None] - BREAK], axis=1).take(openers_KO, axis=1)
        place_NK = choices.argmax(axis=2)
        best = np.concatenate([choices.max(axis=2), unbound[rows_N, free_N, None]], axis=1)
        origins = np.concatenate([openers_KO[kinds_K, place_NK], free_N[:, None]], axis=1)
        pointers[begin:end, :num_tags], pointers[begin:end, num_tags] = origins.take(origin_C, axis=1), anyhow_N
        # Rows that have ended keep what they reached.
        reached[: end - begin] = best.take(origin_C, axis=1) + scores[begin:end]
    return _trace((reached - must_C).argmax(axis=1), pointers, steps)


def _openers(scheme: TagScheme) -> IntArray:
    """Return the tags that leave a span of each kind open, shape (K, most + 1), filled up with the place behind all."""
    found = [np.flatnonzero(scheme.opens_C == kind) for kind in range(len(scheme.kinds))]
    padded = np.full((len(found), max(map(len, found), default=0) + 1), len(scheme.opens_C))
    for row, one in zip(padded, found, strict=True):
        row[: len(one)] = one
    return padded


def _trace(last_N: IntArray, pointers: IntArray, steps: Steps) -> IntArray:
    """Return the paths that end with the given tags, in the order of the units.

    Args:
        last_N: Of every row, the longest first.
        pointers: The best tag before each tag of each unit, units in the order of the steps; behind them the best of
            all, which stands for the place behind them.
        steps: Of the rows.
    """
    path = np.empty(len(pointers), dtype=np.int64)
    tags, breaks = last_N, pointers.shape[1] - 1
    for begin, end in reversed(steps.bounds()):
        path[begin:end] = tags[: end - begin]
        before = pointers[np.arange(begin, end), path[begin:end]]
        tags[: end - begin] = np.where(before == breaks, pointers[begin:end, breaks], before)
    found = np.empty_like(path)
    found[steps.units_U] = path
    return found
