"""A composite against its members, and what a cascade saves, as JSON values from arrays; it runs no Bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo import metrics
from yanmo.arrays import IntArray
from yanmo.combine.cascading import Guarantee, StageTable, answering_stages, measure_candidate
from yanmo.metrics.labels import name_right_rows
from yanmo.protocols import Task
from yanmo.reporting.quality import compare_answers

__all__ = ["agreement_matrix", "cascade_facts", "compare_members", "leave_one_out"]

TAILS = (50, 95, 99)
GUARANTEES: tuple[Guarantee, ...] = ("agreement", "accuracy")


def compare_members(
    facts: Sequence[Mapping[str, Any]],
    answers: Sequence[Any],
    whole: Any,
    targets: Any,
    task: Task[Any],
    *,
    num_resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return one row a member: its scores, and how much better the composite is, with paired intervals.

    Args:
        facts: What the page says of each member besides its scores.
        answers: The evidence of each member.
        whole: The evidence of the composite.
        targets: What the task holds answers against.
        task: Says what is counted and measured.
        num_resamples: Of the paired bootstrap.
        seed: Of the paired bootstrap.
    """
    return [
        {**fact, **compare_answers(whole, other, targets, task, num_resamples=num_resamples, seed=seed)}
        for fact, other in zip(facts, answers, strict=True)
    ]


def agreement_matrix(answers: Sequence[Any], task: Task[Any]) -> list[list[float]]:
    """Return for each pair of members the share of rows about which both decide the same."""
    return [[float(task.same_N(one, other).mean()) for other in answers] for one in answers]


def leave_one_out(
    names: Sequence[str],
    without: Sequence[Any],
    whole: Any,
    targets: Any,
    task: Task[Any],
    *,
    num_resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return what each member adds: the headline of all members less that of all others, with its paired interval.

    Args:
        names: Of the members.
        without: The evidence without each member; None where that takes a new fit.
        whole: The evidence with all.
        targets: What the task holds answers against.
        task: Says what is counted and measured.
        num_resamples: Of the paired bootstrap.
        seed: Of the paired bootstrap.
    """
    headline = task.measures[0].name
    keys = (headline, f"{headline}_difference", f"{headline}_difference_interval", "mcnemar_p_value")
    rows = []
    for name, other in zip(names, without, strict=True):
        found: dict[str, Any] = dict.fromkeys(keys)
        if other is not None:
            found = compare_answers(whole, other, targets, task, num_resamples=num_resamples, seed=seed)
        rows.append({"name": name, **{key: found[key] for key in keys}})
    return rows


def cascade_facts(
    table: StageTable,
    thresholds: Sequence[float],
    curve: Sequence[Sequence[float]],
    abstained_N: npt.NDArray[np.bool_] | None,
    task: Task[Any],
) -> dict[str, Any]:
    """Return who answered what at what cost, and the curve of cost against agreement, on the rows of a table.

    Args:
        table: What the stages answered.
        thresholds: Of each stage but the last.
        curve: Other thresholds, from expensive to cheap.
        abstained_N: Where no answer was given, if that is possible.
        task: Says what the share of right rows is called.
    """
    lost = f"{name_right_rows(task.measures)}_lost"
    stage_N = answering_stages(table.confidences_SN, thresholds)
    rows = np.arange(len(stage_N))
    costs_N = table.costs_N(stage_N, thresholds)
    right_N = table.right_SN[stage_N, rows]
    num_different = int((~table.agrees_SN[stage_N, rows]).sum())
    # Costs that occur: a row costs what its stages do, and nothing between these.
    percentiles = np.percentile(costs_N, TAILS, method="higher").tolist()
    return {
        "shares": _shares(stage_N, len(table.costs_S)),
        "disagreement": num_different / len(rows),
        "disagreement_interval": metrics.wilson_interval(num_different, len(rows)),
        lost: float(table.right_SN[-1].mean() - right_N.mean()),
        "cost_ms": {
            "mean": float(costs_N.mean()),
            **{f"p{tail}": one for tail, one in zip(TAILS, percentiles, strict=True)},
        },
        "cost_ms_of_last_stage": float(table.costs_S[-1]),
        "abstention": _abstention(abstained_N, right_N) if abstained_N is not None else None,
        "measured_curve": [_point(table, tuple(one), lost) for one in curve],
    }


def _shares(stage_N: IntArray, num_stages: int) -> list[float]:
    return [float(count) / len(stage_N) for count in np.bincount(stage_N, minlength=num_stages)]


def _abstention(abstained_N: npt.NDArray[np.bool_], right_N: npt.NDArray[np.bool_]) -> dict[str, Any]:
    num_answered = int((~abstained_N).sum())
    num_wrong = int((~abstained_N & ~right_N).sum())
    return {
        "answered_share": num_answered / len(right_N),
        "wrong_share": num_wrong / num_answered if num_answered else None,
        "wrong_share_interval": metrics.wilson_interval(num_wrong, num_answered),
        "wrong_share_without": float((~right_N).mean()),
    }


def _point(table: StageTable, thresholds: tuple[float, ...], lost: str) -> dict[str, float]:
    """Return one point of the curve; ``lost`` names the share of right rows that is lost."""
    agreement, right = (measure_candidate(table, thresholds, one) for one in GUARANTEES)
    return {"cost_ms": agreement.cost_ms, "disagreement": agreement.risk, lost: right.risk}
