"""Decisions with a truth, row after row in one array: what weights, stackers and calibrations are fitted to.

It knows no file and no model. Whole texts are one decision each; of labeled units there are as many as have a label.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from yanmo.answers.choices import Choices
from yanmo.arrays import FloatArray, Ragged

__all__ = ["labeled_decisions"]


def labeled_decisions(evidence: Choices, targets: Any) -> tuple[Choices, FloatArray]:
    """Return the decisions that have a truth, and 1 where a label holds, float32, shape (M, C).

    Args:
        evidence: About N rows.
        targets: What the task encodes their labels as: of whole texts already such an array, of units the places of
            their tags.
    """
    if not isinstance(targets, Ragged):
        return evidence, targets
    labeled_M = np.flatnonzero(targets.values >= 0)
    targets_MC = np.zeros((len(labeled_M), evidence.values_MC.shape[1]), dtype=np.float32)
    targets_MC[np.arange(len(labeled_M)), targets.values[labeled_M]] = 1.0
    return Choices(evidence.values_MC[labeled_M], evidence.link), targets_MC
