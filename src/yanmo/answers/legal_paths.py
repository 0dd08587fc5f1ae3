"""The best path of tags that breaks no rule of their scheme, for ragged rows; it knows no model and no text.

Legend: U units of N rows, C tags, K kinds of spans.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from yanmo.answers.chains import Steps
from yanmo.answers.tags import NONE, TagScheme, row_edges
from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged

__all__ = ["best_legal", "best_path"]

# What is impossible by the probabilities is still possible where nothing else is legal.
LEAST = 1e-30
# More than the units of a row of 10 million together could gain: no path breaks a rule that another one keeps.
BREAK = 1e9
SURE = 5.0
"""In nats: a tag that is so much better than the others stays, unless the rest of its row loses more."""
BLOCK_CELLS = 4_000_000
"""16 MB of float32 at a time."""


def best_legal(probabilities_UC: FloatArray, offsets: IntArray, scheme: TagScheme) -> IntArray:
    """Return every unit's tag on the legal path with the largest product of probabilities, int64, shape (U,).

    Where a row has no legal path, as one unit has none if no tag is a whole word, it is the path with the fewest
    breaks of the rules, and of these the most probable one.

    Args:
        probabilities_UC: Of every unit's tags.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Says what is legal.
    """
    path_U = np.empty(len(probabilities_UC), dtype=np.int64)
    for steps in Steps.blocks(offsets, BLOCK_CELLS // max(probabilities_UC.shape[1], 1) + 1):
        path_U[steps.units_U] = best_path(probabilities_UC[steps.units_U].T, steps, scheme)
    return path_U


def best_path(probabilities_CU: FloatArray, steps: Steps, scheme: TagScheme, *, are_logs: bool = False) -> IntArray:
    """Return what :func:`best_legal` does, of units in the order of the steps.

    Args:
        probabilities_CU: Of every unit's tags.
        steps: Of the rows.
        scheme: Says what is legal.
        are_logs: They are logarithms up to a constant of the unit.

    Source: Viterbi 1967, "Error Bounds for Convolutional Codes". Differs: as only the span that is open restricts what
    may follow, a step takes the best of all tags and the best of each kind: C work for a unit and not C squared.
    """
    path_U: IntArray = np.ascontiguousarray(probabilities_CU.T).argmax(axis=1)
    # What may not follow is noted at the unit before.
    broken_U = np.zeros(len(path_U), dtype=np.bool_)
    broken_U[: steps.num_rows] = ~scheme.may_begin_C[path_U[: steps.num_rows]]
    broken_U[steps.last_N] |= ~scheme.may_end_C[path_U[steps.last_N]]
    pairs = path_U[steps.before_U] * len(probabilities_CU) + path_U[steps.num_rows :]
    broken_U[steps.before_U] |= ~scheme.may_follow_CC.ravel()[pairs]
    if broken_U.any():
        # The best tags one by one are the best path wherever they are a legal one; few rows are left to be searched.
        rows = steps.rows_of(broken_U)
        found_CU = probabilities_CU.take(rows.values, axis=1).astype(np.float64)
        logs_CU = found_CU if are_logs else np.log(np.maximum(found_CU, LEAST))
        logs_CU = np.maximum(logs_CU - logs_CU.max(axis=0), np.log(LEAST))
        path_U[rows.values] = _mend(logs_CU, path_U[rows.values], broken_U[rows.values], rows.offsets, scheme)
    return path_U


def _mend(
    logs_CU: Doubles, best_U: IntArray, broken_U: npt.NDArray[np.bool_], offsets: IntArray, scheme: TagScheme
) -> IntArray:
    """Return the best legal paths of rows whose best tags one by one break a rule.

    Where a unit's best tag is so much better than the others that a legal path loses less elsewhere, the best path has
    it, too. So what is searched lies between two such units, around a broken rule: a few units of a row.

    Args:
        logs_CU: Of the probabilities, the largest of each unit 0.
        best_U: The best tags one by one.
        broken_U: The units at which they break a rule.
        offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        scheme: Says what is legal.
    """
    units, (is_first_U, is_last_U) = np.arange(len(best_U)), row_edges(offsets)
    may_begin_C1, may_end_C1 = scheme.may_begin_C[:, None], scheme.may_end_C[:, None]
    is_best_CU = np.arange(len(logs_CU))[:, None] == best_U
    is_sure_U = np.where(is_best_CU, -np.inf, logs_CU).max(axis=0) < -SURE
    starts = np.flatnonzero(is_first_U | is_sure_U)
    pieces = Ragged(units, np.append(starts, len(units))).take(np.flatnonzero(np.logical_or.reduceat(broken_U, starts)))
    first, last = pieces.values[pieces.offsets[:-1]], pieces.values[pieces.offsets[1:] - 1]
    may_begin_CP = np.where(is_first_U[first], may_begin_C1, is_best_CU[:, first])
    may_end_CP = np.where(is_last_U[last], may_end_C1, scheme.may_follow_CC[:, np.roll(best_U, -1)[last]])
    path_U = best_U.copy()
    path_U[pieces.values] = _search(logs_CU, pieces, may_begin_CP, may_end_CP, scheme)
    lost_N = Ragged(-logs_CU[path_U, units], offsets).sums_N()
    is_broken_N = Ragged(scheme.broken_U(path_U, offsets), offsets).sums_N() > 0
    rows = Ragged(units, offsets).take(np.flatnonzero((lost_N > SURE) | is_broken_N))
    if len(rows.values):
        path_U[rows.values] = _search(logs_CU, rows, may_begin_C1, may_end_C1, scheme)
    return path_U


def _search(
    logs_CU: Doubles,
    rows: Ragged,
    may_begin_CN: npt.NDArray[np.bool_],
    may_end_CN: npt.NDArray[np.bool_],
    scheme: TagScheme,
) -> IntArray:
    """Return the best path of every row, one behind the other.

    Args:
        logs_CU: Of the probabilities.
        rows: The units of N rows, each of which has one.
        may_begin_CN: The tags that a row may begin with; of one column, all rows.
        may_end_CN: The tags that it may end with.
        scheme: Says what may follow.
    """
    scores_CU = logs_CU.take(rows.values, axis=1)
    scores_CU[:, rows.offsets[:-1]] -= BREAK * ~may_begin_CN
    scores_CU[:, rows.offsets[1:] - 1] -= BREAK * ~may_end_CN
    steps = Steps.of(rows.offsets)
    reached_CU = scores_CU.take(steps.units_U, axis=1)
    openers_KO, must_C1 = _openers(scheme), BREAK * scheme.must_C[:, None]
    # Where each tag comes from: the best opener of its kind, or, behind those, the best tag that need not go on.
    origin_C = np.where(scheme.needs_C != NONE, scheme.needs_C, len(openers_KO))
    for (first, _), (begin, end) in pairwise(steps.bounds()):
        before = reached_CU[:, first : first + end - begin]
        # One row more than tags: to break a rule.
        anyhow = np.concatenate([before, before.max(axis=0, keepdims=True) - BREAK])
        best = np.concatenate([anyhow[openers_KO].max(axis=1), (before - must_C1).max(axis=0, keepdims=True)])
        reached_CU[:, begin:end] += best[origin_C]
    path = np.empty(len(rows.values), dtype=np.int64)
    path[steps.units_U] = _trace(reached_CU, steps, scheme)
    return path


def _openers(scheme: TagScheme) -> IntArray:
    """Return the tags that leave a span of each kind open, shape (K, most + 1), filled up with the place behind all."""
    found = [np.flatnonzero(scheme.opens_C == kind) for kind in range(len(scheme.kinds))]
    padded = np.full((len(found), max(map(len, found), default=0) + 1), len(scheme.opens_C))
    for row, one in zip(padded, found, strict=True):
        row[: len(one)] = one
    return padded


def _trace(reached_CU: Doubles, steps: Steps, scheme: TagScheme) -> IntArray:
    """Return the best paths, in the order of the steps.

    Args:
        reached_CU: What the best path up to each tag of each unit scores.
        steps: Of the rows.
        scheme: Says what may follow.
    """
    breaks_CC = np.where(scheme.may_follow_CC, 0.0, -BREAK)
    path = np.empty(reached_CU.shape[1], dtype=np.int64)
    path[steps.last_N] = reached_CU[:, steps.last_N].argmax(axis=0)
    for (first, _), (begin, end) in reversed(list(pairwise(steps.bounds()))):
        before = slice(first, first + end - begin)
        path[before] = (reached_CU[:, before] + breaks_CC[:, path[begin:end]]).argmax(axis=0)
    return path
