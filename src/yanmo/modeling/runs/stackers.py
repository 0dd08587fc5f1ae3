"""Fitting a second model over members' out-of-fold answers, with scikit-learn or LightGBM; it knows no artifact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo.answers.links import Link
from yanmo.arrays import FloatArray
from yanmo.combine.stacking import LinearStacker, stacking_features
from yanmo.errors import MissingExtraError

__all__ = ["fit_lightgbm", "fit_logistic"]

INVERSE_REGULARIZATION = 0.1
MAX_ITERATIONS = 5000
# As a score a probability of 1e-13: never chosen, and its logarithm is still finite.
ABSENT = -30.0
NUM_TREES = 150
BINARY: dict[str, Any] = {"objective": "binary"}
TREES: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_child_samples": 20,
    "subsample": 0.8,
}


def fit_logistic(members: Sequence[FloatArray], targets_NC: FloatArray, link: Link) -> LinearStacker:
    """Return the logistic regression of the targets on members' log-probabilities.

    Args:
        members: K members' probabilities of rows they have not learned from, shape (N, C).
        targets_NC: 1 where a label holds.
        link: Where labels do not exclude each other, each has a regression of its own.
    """
    features_NF, excludes = np.concatenate([stacking_features(one) for one in members], axis=1), link.excludes
    num_classes = targets_NC.shape[1]
    targets = [targets_NC.argmax(axis=1)] if excludes else list(targets_NC.T.astype(np.int64))
    coefficients_CF = np.zeros((num_classes, features_NF.shape[1]))
    intercepts_C = np.full(num_classes, ABSENT)
    for label, targets_N in enumerate(targets):
        found = np.unique(targets_N)
        if len(found) == 1:
            intercepts_C[found if excludes else label] = 0.0 if excludes else np.where(found[0], -ABSENT, ABSENT)
            continue
        model = _regression().fit(features_NF, targets_N)
        rows = model.classes_ if excludes else [label]
        if excludes and len(found) == 2:
            # Of two classes scikit-learn scores the second alone; half of it to each side is the same to softmax.
            coefficients_CF[rows] = np.concatenate([-model.coef_, model.coef_]) / 2
            intercepts_C[rows] = np.append(-model.intercept_, model.intercept_) / 2
        else:
            coefficients_CF[rows], intercepts_C[rows] = model.coef_, model.intercept_
    shape = (num_classes, len(members), num_classes)
    # Features lie member by member, and within a member label by label.
    coefficients_KCC = coefficients_CF.reshape(shape).transpose(1, 2, 0)
    return LinearStacker(np.ascontiguousarray(coefficients_KCC, dtype=np.float32), intercepts_C.astype(np.float32))


def fit_lightgbm(
    members: Sequence[FloatArray], targets_NC: FloatArray, link: Link, *, seed: int, num_threads: int
) -> list[str]:
    """Return boosted trees on members' log-probabilities as LightGBM's text: one model, or one a label.

    Args:
        members: K members' probabilities of rows they have not learned from, shape (N, C).
        targets_NC: 1 where a label holds; a label that never does keeps its column.
        link: Where labels do not exclude each other, each has a model of its own.
        seed: Of the trees.
        num_threads: To compute with.

    Raises:
        MissingExtraError: lightgbm is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtraError("The method stacking-lightgbm", package="lightgbm", extra="lightgbm") from error
    features_NF = np.concatenate([stacking_features(one) for one in members], axis=1)
    num_classes = targets_NC.shape[1]
    # LightGBM copies a column that is a view, and warns.
    targets = [targets_NC.argmax(axis=1)] if link.excludes else list(np.ascontiguousarray(targets_NC.T))
    kind = {"objective": "multiclass", "num_class": num_classes} if link.excludes and num_classes > 2 else BINARY
    fixed: dict[str, Any] = {"random_state": seed, "n_jobs": num_threads, "deterministic": True, "verbosity": -1}
    models = [
        lightgbm.train({**TREES, **kind, **fixed}, lightgbm.Dataset(features_NF, one), num_boost_round=NUM_TREES)
        for one in targets
    ]
    return [model.model_to_string() for model in models]


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=MAX_ITERATIONS)
