"""Cascades: which stage answers which text, and thresholds that keep a guarantee; it knows no model and no clock.

A text goes from stage to stage, cheap to expensive, and is answered by the first that is sure enough. The thresholds
are chosen on labelled rows in two steps. On a part of them a path of candidates is laid, from "only the last stage
answers" to ever cheaper ones. On the other rows the candidates are tested in that order until one fails. The last that
passed is taken, so the chance that it breaks the guarantee on new texts is at most delta, whatever the models.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Doubles, FloatArray, IntArray
from yanmo.combine.bounds import lower_bound, num_rows_needed, upper_bound
from yanmo.errors import DataError, InternalError

__all__ = [
    "NEVER",
    "Candidate",
    "Chosen",
    "Guarantee",
    "StageTable",
    "Withheld",
    "answering_stages",
    "choose_abstention",
    "choose_thresholds",
    "measure_candidate",
]

Guarantee = Literal["agreement", "accuracy"]
"""Of ``accuracy`` it is the share of rows that are right, whatever a task's headline is."""
Booleans = npt.NDArray[np.bool_]

NEVER = 2.0
"""A threshold that no confidence reaches: the stage is not even asked."""
PATH_SHARE = 0.3
"""Share of the rows on which the path of candidates is laid; the others test it, equally many for each guarantee."""
# Combinations of thresholds that are tried: about as many, however many stages there are.
MAX_CANDIDATES = 4000
MAX_THRESHOLDS = 200


@dataclass(frozen=True)
class StageTable:
    """What S stages answered on N labelled rows.

    Attributes:
        confidences_SN: How sure each stage is of its answer, in [0, 1].
        agrees_SN: Whether the stage's answer is the last stage's.
        right_SN: Whether the stage's answer is the truth, as a whole.
        costs_S: Of one text in one stage, in milliseconds.
    """

    confidences_SN: FloatArray
    agrees_SN: Booleans
    right_SN: Booleans
    costs_S: Sequence[float]

    def take(self, rows: IntArray) -> StageTable:
        """Return some of the rows."""
        return StageTable(self.confidences_SN[:, rows], self.agrees_SN[:, rows], self.right_SN[:, rows], self.costs_S)

    def costs_N(self, stage_N: IntArray, thresholds: Sequence[float]) -> Doubles:
        """Return what each row costs if these stages answer: the sum over all stages that were asked."""
        asked = [
            cost if threshold < NEVER else 0.0 for cost, threshold in zip(self.costs_S[:-1], thresholds, strict=True)
        ]
        return np.cumsum([*asked, self.costs_S[-1]])[stage_N]


@dataclass(frozen=True)
class Candidate:
    """Thresholds with what they cost and how far they are from the last stage.

    Attributes:
        thresholds: Of each stage but the last; ``NEVER`` leaves the stage out.
        cost_ms: Mean cost of a text.
        risk: Share of rows that differ from the last stage, or the share of right rows lost against it.
        bound: What the true risk exceeds with a chance of at most delta; None where it was not tested.
    """

    thresholds: tuple[float, ...]
    cost_ms: float
    risk: float
    bound: float | None = None


@dataclass(frozen=True)
class Chosen:
    """The cheapest candidate that passed.

    Attributes:
        best: The candidate, with cost, risk and bound on the testing rows.
        path: All candidates, from expensive to cheap, on the testing rows.
        num_rows: Rows that tested.
    """

    best: Candidate
    path: list[Candidate]
    num_rows: int


@dataclass(frozen=True)
class Withheld:
    """When the last stage gives no answer.

    Attributes:
        threshold: The confidence below which it does not.
        bound: What the true share of wrong answers exceeds with a chance of at most delta.
        answered_share: Share of the testing rows that got an answer.
    """

    threshold: float
    bound: float
    answered_share: float


def answering_stages(confidences_SN: FloatArray, thresholds: Sequence[float]) -> IntArray:
    """Return for each row the number, from 0, of the first stage that is sure enough; else the last. Shape (N,)."""
    stage_N = np.full(confidences_SN.shape[1], len(thresholds), dtype=np.int64)
    # From the last to the first: an earlier stage that is sure takes the row from a later one.
    for stage in range(len(thresholds) - 1, -1, -1):
        stage_N[confidences_SN[stage] >= thresholds[stage]] = stage
    return stage_N


def choose_thresholds(
    table: StageTable,
    *,
    guarantee: Guarantee,
    alpha: float,
    delta: float,
    seed: int,
    num_tests: int = 1,
    title: str | None = None,
) -> Chosen:
    """Return the cheapest thresholds of which the guarantee holds with confidence 1 - delta.

    A single stage has none, and keeps the guarantee without a test.

    Args:
        table: What the stages answered on rows that none of them has learned from.
        guarantee: ``agreement``: the answer differs from the last stage's on at most alpha of all texts. ``accuracy``:
            the share of rows that are right is at most alpha below the last stage's.
        alpha: In (0, 1).
        delta: In (0, 1).
        seed: Of the choice of the rows that lay the path.
        num_tests: Guarantees that are shown on the table, each on rows of its own; this one takes the first.
        title: What is guaranteed, for messages; by default the guarantee's name.

    Raises:
        DataError: There are too few rows to show the guarantee even without a single disagreement.

    Source: Angelopoulos, Bates, Candès, Jordan, Lei 2021, "Learn then Test: Calibrating Predictive Algorithms to
        Achieve Risk Control", section 3 (fixed sequence testing), arXiv:2110.01052; Laufer-Goldshtein, Fisch, Barzilay,
        Jaakkola 2023, "Efficiently Controlling Multiple Risks with Pareto Testing", arXiv:2210.07913 (the path from
        other rows).
    Differs: Clopper-Pearson bounds in place of Hoeffding-Bentkus: the losses are counts.
    """
    num_rows = table.confidences_SN.shape[1]
    path_rows, test_rows, *_ = _cut(num_rows, seed, num_tests)
    if len(table.costs_S) == 1:
        alone = replace(measure_candidate(table.take(test_rows), (), guarantee), bound=0.0)
        return Chosen(alone, [alone], len(test_rows))
    # For right rows two bounds are needed, and each gets half of delta.
    needed = num_rows_needed(alpha, delta if guarantee == "agreement" else delta / 2)
    _check_enough(num_rows, needed, num_tests, alpha, delta, f"a guarantee of {title or guarantee}")
    path = _lay_path(table.take(path_rows), guarantee)
    tested, best = [], None
    test_table, is_open = table.take(test_rows), True
    # Only an unbroken run of passes counts: then each is tested at delta, without a correction for their number. What
    # comes after the first failure is measured for the curve.
    for one in path:
        candidate = _test(test_table, one.thresholds, guarantee, delta)
        tested.append(candidate)
        is_open = is_open and candidate.bound is not None and candidate.bound <= alpha
        best = candidate if is_open else best
    if best is None:
        raise InternalError("The candidate that asks only the last stage failed its test.")
    return Chosen(best, tested, len(test_rows))


def choose_abstention(
    confidences_N: FloatArray,
    right_N: Booleans,
    is_last_N: Booleans,
    *,
    alpha: float,
    delta: float,
    seed: int,
    num_tests: int = 1,
) -> Withheld:
    """Return below which confidence the last stage gives no answer: the lowest that passes.

    The share of wrong ones among the answers is at most alpha, with confidence 1 - delta. The thresholds that say who
    answers must not come from the rows that show it: with equal ``seed`` and ``num_tests`` they do not.

    Args:
        confidences_N: Of the cascade's answers.
        right_N: Whether they are right.
        is_last_N: Whether the last stage gave them; only those may be withheld.
        alpha: In (0, 1).
        delta: In (0, 1).
        seed: Of the choice of the rows that lay the path.
        num_tests: Guarantees that are shown on these rows, each on a part of its own; this one takes the last.

    Raises:
        DataError: There are too few rows, or even without all of the last stage's answers too many are wrong.

    Source: Geifman, El-Yaniv 2017, "Selective Classification for Deep Neural Networks", section 3, arXiv:1705.08500.
    Differs: fixed sequence testing instead of a search with a union bound.
    """
    path_rows, *_, test_rows = _cut(len(confidences_N), seed, num_tests)
    needed = num_rows_needed(alpha, delta)
    _check_enough(len(confidences_N), needed, num_tests, alpha, delta, "a share of wrong answers")
    answered = _Answered(confidences_N, right_N, is_last_N)
    found: Withheld | None = None
    first: tuple[int, int] | None = None
    for threshold in _order_thresholds(answered, path_rows, len(test_rows), delta):
        num_wrong, num_answered = answered.count(threshold, test_rows)
        first = first or (num_wrong, num_answered)
        bound = upper_bound(num_wrong, num_answered, delta)
        if bound > alpha:
            break
        found = Withheld(threshold, bound, num_answered / len(test_rows))
    if found is None:
        num_wrong, num_answered = first or (0, 0)
        bound = upper_bound(num_wrong, num_answered, delta)
        raise DataError(
            f"Even of the surest answers too many are wrong for abstain = {alpha:g}: {num_wrong} of {num_answered}, "
            f"which shows at most {bound:.4f} with confidence {1 - delta:g}.",
            hint="Allow a larger share with --abstain, or leave more to the last stage with a smaller --alpha.",
        )
    return found


@dataclass(frozen=True)
class _Answered:
    """The answers of a cascade, of which the last stage's may be withheld."""

    confidences_N: FloatArray
    right_N: Booleans
    is_last_N: Booleans

    def count(self, threshold: float, rows: IntArray) -> tuple[int, int]:
        """Return the wrong and all answers among some rows, if answers below the threshold are withheld."""
        is_given = ~self.is_last_N[rows] | (self.confidences_N[rows] >= threshold)
        return int((is_given & ~self.right_N[rows]).sum()), int(is_given.sum())


def _order_thresholds(answered: _Answered, rows: IntArray, num_test: int, delta: float) -> list[float]:
    """Return thresholds from the one most likely to pass to the one that answers most, as the path's rows see it."""
    # Counts are scaled to the testing rows: how likely a threshold passes there depends on their number.
    scale = num_test / max(len(rows), 1)
    levels = np.quantile(answered.confidences_N[rows], np.linspace(1, 0, MAX_THRESHOLDS)).tolist()
    ranked = []
    for threshold in dict.fromkeys([*levels, 0.0]):
        num_wrong, num_given = answered.count(threshold, rows)
        ranked.append((upper_bound(round(num_wrong * scale), round(num_given * scale), delta), threshold))
    order: list[float] = []
    for _, threshold in sorted(ranked):
        # A threshold that withholds more than one before it and is less likely to pass is of no use.
        if not order or threshold < order[-1]:
            order.append(threshold)
    return order


def _cut(num_rows: int, seed: int, num_tests: int) -> list[IntArray]:
    """Return the rows that lay the path, and those of each test."""
    # Parts of one permutation never share a row; equal arguments give equal parts to both guarantees.
    order = np.random.default_rng(seed).permutation(num_rows)
    size, num_path = _test_size(num_rows, num_tests), round(PATH_SHARE * num_rows)
    starts = [num_path + size * place for place in range(num_tests)]
    return [np.sort(order[:num_path]), *(np.sort(order[start : start + size]) for start in starts)]


def _test_size(num_rows: int, num_tests: int) -> int:
    return (num_rows - round(PATH_SHARE * num_rows)) // num_tests


def _check_enough(given: int, needed: int, num_tests: int, alpha: float, delta: float, what: str) -> None:
    if _test_size(given, num_tests) >= needed:
        return
    total = needed
    # Shares are rounded twice, so no formula gives the smallest number.
    while _test_size(total, num_tests) < needed:
        total += 1
    raise DataError(
        f"To show {what} of {alpha:g} with confidence {1 - delta:g} takes at least {total} labelled rows. "
        f"Got {given} instead.",
        hint="Give a Dataset with a larger split, or ask for less: a larger --alpha or --delta.",
    )


def _lay_path(table: StageTable, guarantee: Guarantee) -> list[Candidate]:
    """Return the candidates that nothing beats in both cost and risk, from expensive to cheap."""
    num_early = len(table.costs_S) - 1
    number = min(MAX_THRESHOLDS, max(3, int(MAX_CANDIDATES ** (1 / num_early)))) if num_early else 0
    grids = [_levels(table.confidences_SN[stage], number) for stage in range(num_early)]
    alone = (NEVER,) * num_early
    candidates = [measure_candidate(table, thresholds, guarantee) for thresholds in itertools.product(*grids)]
    candidates.sort(key=lambda one: (one.cost_ms, one.risk))
    front: list[Candidate] = []
    for one in candidates:
        # Candidates come by rising cost: one that is not safer than all cheaper ones is of no use.
        if not front or one.risk < front[-1].risk:
            front.append(one)
    start = measure_candidate(table, alone, guarantee)
    return [start, *(one for one in reversed(front) if one.thresholds != alone and one.cost_ms < start.cost_ms)]


def _levels(confidences_N: FloatArray, number: int) -> list[float]:
    """Return thresholds that let about equal shares of the rows through, and ``NEVER``."""
    quantiles = np.quantile(confidences_N, np.linspace(1, 0, number)) if len(confidences_N) else [0.5]
    return [NEVER, *dict.fromkeys(float(one) for one in quantiles)]


def measure_candidate(table: StageTable, thresholds: tuple[float, ...], guarantee: Guarantee) -> Candidate:
    """Return thresholds with their cost and risk on the rows of a table, untested."""
    stage_N = answering_stages(table.confidences_SN, thresholds)
    cost = float(table.costs_N(stage_N, thresholds).mean())
    lost, gained = _counts(table, stage_N, guarantee)
    return Candidate(thresholds, cost, (lost - gained) / len(stage_N))


def _counts(table: StageTable, stage_N: IntArray, guarantee: Guarantee) -> tuple[int, int]:
    """Return the rows that count against the cascade and those that count for it."""
    rows = np.arange(len(stage_N))
    if guarantee == "agreement":
        return int((~table.agrees_SN[stage_N, rows]).sum()), 0
    right_N, last_N = table.right_SN[stage_N, rows], table.right_SN[-1]
    return int((last_N & ~right_N).sum()), int((~last_N & right_N).sum())


def _test(table: StageTable, thresholds: tuple[float, ...], guarantee: Guarantee, delta: float) -> Candidate:
    """Return a candidate with the bound of its risk.

    For right rows it is the bound of the rows that got lost less that of the rows that were gained, each at delta / 2.
    """
    stage_N = answering_stages(table.confidences_SN, thresholds)
    num_rows = len(stage_N)
    lost, gained = _counts(table, stage_N, guarantee)
    if guarantee == "agreement":
        bound = upper_bound(lost, num_rows, delta)
    else:
        bound = upper_bound(lost, num_rows, delta / 2) - lower_bound(gained, num_rows, delta / 2)
    cost = float(table.costs_N(stage_N, thresholds).mean())
    return Candidate(thresholds, cost, (lost - gained) / num_rows, bound)
