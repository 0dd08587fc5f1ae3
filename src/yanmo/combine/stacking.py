"""A fitted stacker at work: members' log-probabilities in, scores out; how it is fitted stands in ``modeling``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.errors import MissingExtraError

__all__ = ["LightgbmStacker", "LinearStacker", "stacking_features"]

FLOOR = np.float32(1e-6)


@dataclass(frozen=True)
class LinearStacker:
    """A logistic regression on members' log-probabilities.

    Attributes:
        coefficients_KCC: What label c of member k adds to the score of label d, float32, shape (K, C, C).
        intercepts_C: Float32, shape (C,).

    Source: Wolpert 1992, "Stacked Generalization", Neural Networks 5(2); Ting, Witten 1999, "Issues in Stacked
        Generalization", section 2: class probabilities as inputs.
    Differs: log-probabilities, so that equal coefficients are a product of experts.
    """

    coefficients_KCC: FloatArray
    intercepts_C: FloatArray

    def logits(self, members: Iterable[FloatArray]) -> FloatArray:
        """Return logits_NC of K members' probabilities, read one after the other."""
        total_NC: FloatArray | None = None
        for coefficients_CC, member_NC in zip(self.coefficients_KCC, members, strict=True):
            scores_NC = stacking_features(member_NC) @ coefficients_CC
            total_NC = scores_NC if total_NC is None else np.add(total_NC, scores_NC, out=total_NC)
        if total_NC is None:
            raise ValueError("a stacker needs a member")
        return np.add(total_NC, self.intercepts_C, out=total_NC)


class LightgbmStacker:
    """Gradient boosted trees on members' log-probabilities.

    Args:
        models: LightGBM's text dumps: one for all labels, or with many labels a row one for each.

    Raises:
        MissingExtraError: lightgbm is not installed.
    """

    def __init__(self, models: Sequence[str]) -> None:
        try:
            import lightgbm
        except ImportError as error:
            raise MissingExtraError("A LightGBM stacker", package="lightgbm", extra="lightgbm") from error
        self._boosters = [lightgbm.Booster(model_str=model) for model in models]

    def logits(self, members: Iterable[FloatArray]) -> FloatArray:
        """Return logits_NC of K members' probabilities."""
        features_NF = np.concatenate([stacking_features(member_NC) for member_NC in members], axis=1)
        scores = [np.asarray(booster.predict(features_NF, raw_score=True)) for booster in self._boosters]
        columns_NC = scores[0] if len(scores) == 1 else np.stack(scores, axis=1)
        # Of two labels LightGBM scores the second alone; with 0 for the first, softmax gives its probability.
        if columns_NC.ndim == 1:
            columns_NC = np.stack((np.zeros_like(columns_NC), columns_NC), axis=1)
        return np.asarray(columns_NC, dtype=np.float32)


def stacking_features(member_NC: FloatArray) -> FloatArray:
    """Return a member's log-probabilities, not below those of one in a million."""
    return np.asarray(np.log(np.maximum(member_NC, FLOOR)), dtype=np.float32)
