"""The best path of tags that breaks no rule of their scheme, for ragged rows; it knows no model and no text.

Legend: U units of N rows, C tags, K kinds of spans.
"""

from __future__ import annotations

import numpy as np

from yanmo.answers.chains import Steps
from yanmo.answers.tags import NONE, TagScheme
from yanmo.arrays import Array, Doubles, FloatArray, IntArray

__all__ = ["best_legal"]

# What is impossible by the probabilities is still possible where nothing else is legal.
LEAST = 1e-30


def best_legal(probabilities_UC: FloatArray, offsets: IntArray, scheme: TagScheme) -> IntArray:
    """Return every unit's tag on the legal path with the largest product of probabilities, int64, shape (U,).

    Where a row has no legal path, as one unit has none if no tag is a whole word, it is the path with the fewest
    breaks of the rules, and of these the most probable one.

    Args:
        probabilities_UC: Of every unit's tags.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Says what is legal.

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
    lengths = np.diff(offsets)[rows]
    inner = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    units = np.arange(inner[-1]) + np.repeat(offsets[rows] - inner[:-1], lengths)
    scores = np.log(np.maximum(probabilities_UC[units].astype(np.float64), LEAST))
    path_U[units] = _search(scores, Steps.of(inner), scheme)
    return path_U


def _search(scores_UC: Doubles, steps: Steps, scheme: TagScheme) -> IntArray:
    """Return the best path of every row."""
    scores, pointers = scores_UC[steps.units_U], np.zeros(scores_UC.shape, dtype=np.int32)
    # One break costs more than all units together could gain: no path breaks a rule that another one keeps.
    penalty = (1 - np.log(LEAST)) * len(steps.ends_T)
    must_C = scheme.must_C * penalty
    going_on = np.flatnonzero(scheme.needs_C != NONE)
    kinds, kind_of = np.unique(scheme.needs_C[going_on], return_inverse=True)
    openers = _openers(scheme, kinds)
    reached = np.zeros((0, scores.shape[1]))
    for begin, end in steps.bounds():
        if begin == 0:
            reached = scores[begin:end] - (scheme.needs_C != NONE) * penalty
            continue
        # Rows that have ended keep what they reached.
        before = reached[: end - begin]
        best, tag = _best(before - must_C)
        total, pointers[begin:end] = np.repeat(best[:, None], scores.shape[1], axis=1), tag[:, None]
        inside, opener = _best_opener(before, openers, penalty)
        total[:, going_on], pointers[begin:end, going_on] = inside[:, kind_of], opener[:, kind_of]
        reached[: end - begin] = total + scores[begin:end]
    return _trace((reached - must_C).argmax(axis=1), pointers, steps)


def _best(scores: Doubles) -> tuple[Doubles, IntArray]:
    """Return the largest values along the last axis, and their places."""
    places = scores.argmax(axis=-1)
    return np.take_along_axis(scores, places[..., None], axis=-1)[..., 0], places


def _openers(scheme: TagScheme, kinds: IntArray) -> IntArray:
    """Return the tags that leave a span of each kind open, shape (kinds, most); C stands where a kind has fewer."""
    found = [np.flatnonzero(scheme.opens_C == kind) for kind in kinds.tolist()]
    padded = np.full((len(found), max(map(len, found), default=0) or 1), len(scheme.opens_C))
    for row, one in zip(padded, found, strict=True):
        row[: len(one)] = one
    return padded


def _best_opener(before: Doubles, openers: IntArray, penalty: float) -> tuple[Doubles, IntArray]:
    """Return what each kind of span is best gone on with from, by row and kind, and the tag from which."""
    # The column behind the last one stands for the tags that a kind lacks.
    some = np.concatenate([before, np.full((len(before), 1), -np.inf)], axis=1)[:, openers]
    inside, place = _best(some)
    opener = openers[np.arange(len(openers)), place]
    # Or a rule is broken: then any tag may stand before.
    best, tag = _best(before)
    breaks = inside < best[:, None] - penalty
    return np.where(breaks, best[:, None] - penalty, inside), np.where(breaks, tag[:, None], opener)


def _trace(last_N: IntArray, pointers: Array, steps: Steps) -> IntArray:
    """Return the paths that end with the given tags, in the order of the units.

    Args:
        last_N: Of every row, the longest first.
        pointers: The best tag before each tag of each unit, units in the order of the steps.
        steps: Of the rows.
    """
    path = np.empty(len(pointers), dtype=np.int64)
    tags = last_N
    for begin, end in reversed(steps.bounds()):
        path[begin:end] = tags[: end - begin]
        tags[: end - begin] = pointers[np.arange(begin, end), path[begin:end]]
    found = np.empty_like(path)
    found[steps.units_U] = path
    return found
