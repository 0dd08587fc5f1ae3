"""What is decided with what a request sets, and what is withheld: one place for whoever answers; it knows no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yanmo.answers.answered import Decided
from yanmo.arrays import IntArray
from yanmo.protocols import Task
from yanmo.tasks.labels import label_task

__all__ = ["count_given", "decide", "decide_again", "most_probable"]


def decide(
    task: Task[Any],
    evidence: Any,
    labels: Sequence[str],
    *,
    threshold: float | None = None,
    abstained_N: npt.NDArray[np.bool_] | None = None,
) -> Decided:
    """Return what is decided about every row.

    Args:
        task: Decides.
        evidence: Probabilities.
        labels: The names of its columns.
        threshold: What is less probable is no answer; None: whatever the task does by itself.
        abstained_N: Where a cascade gives no answer, bool, whatever is decided; None where it cannot abstain.
    """
    decided = task.decide(evidence, labels, threshold=threshold)
    return decided if abstained_N is None else decided.withhold(abstained_N)


def decide_again(task: Task[Any], details: Mapping[str, float], *, threshold: float, abstained: bool | None) -> Decided:
    """Return what is decided about one row of whose evidence nothing is left but what was shown of it.

    Args:
        task: Decides.
        details: Every label's probability.
        threshold: What is less probable is no answer.
        abstained: Whether a cascade gave no answer; None where it cannot abstain.
    """
    silent_N = None if abstained is None else np.array([abstained])
    evidence = label_task(task, "A threshold on labels").recover([details])
    return decide(task, evidence, list(details), threshold=threshold, abstained_N=silent_N)


def most_probable(
    details: Mapping[str, float], *, top_k: int | None = None, threshold: float = 0.0
) -> list[tuple[str, float]]:
    """Return labels with their probabilities, the most probable first.

    Args:
        details: Every label's probability.
        top_k: At most so many; None: all.
        threshold: Those that are less probable are left out.
    """
    # Stable, so that labels of equal probability stay in the Bundle's order.
    ranked = sorted(details.items(), key=lambda one: -one[1])[:top_k]
    return [(label, share) for label, share in ranked if share >= threshold]


def count_given(task: Task[Any], predictions: Sequence[Any], labels: Sequence[str]) -> IntArray:
    """Return how often each label was given, int64, shape (C,).

    Args:
        task: Has decided.
        predictions: What was decided about N rows; None where no answer is given.
        labels: All labels in order.
    """
    places = task.columns_of(labels)
    given = [places[label] for one in predictions for label in task.given(one)]
    return np.bincount(np.asarray(given, dtype=np.int64), minlength=len(labels))
