"""The linear model: logistic regression on TF-IDF n-grams, with scikit-learn; it knows no artifact and no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from yanmo.answers.choices import Choices
from yanmo.arrays import FloatArray
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.modeling.features.hashed_ngrams import hash_texts, linear_ngrams
from yanmo.modeling.settings import LabeledTexts, MeasureAnswers, NetworkSettings, Trained
from yanmo.text import tfidf
from yanmo.text.inputs import Inputs
from yanmo.text.ngrams import NgramConfig

__all__ = ["LinearModel", "fit_linear", "fit_regression", "train_linear"]

INVERSE_REGULARIZATION = 10.0
MAX_ITERATIONS = 1000
TOLERANCE = 1e-4
MIN_TEXTS = 2
MAX_FEATURES = 1_000_000
# As a score a probability of 1e-13: never chosen, and its logarithm is still finite.
ABSENT = -30.0


@dataclass(frozen=True)
class LinearModel:
    """A weight for every n-gram and class.

    Attributes:
        ngrams: Which n-grams.
        vocabulary: Their hashes and inverse document frequencies.
        coefficients_FC: float32, shape (F, C).
        intercepts_C: float32, shape (C,).
    """

    ngrams: NgramConfig
    vocabulary: tfidf.Tfidf
    coefficients_FC: FloatArray
    intercepts_C: FloatArray

    def logits(self, texts: Inputs) -> FloatArray:
        """Return logits_NC, float32, shape (N, C)."""
        rows = tfidf.transform(self.vocabulary, hash_texts(texts, self.ngrams))
        logits_NC = _matrix(rows, len(self.vocabulary.keys)) @ self.coefficients_FC + self.intercepts_C
        return np.asarray(logits_NC, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` (keys, idf, coef, intercept) and ``linear.json`` (ngrams, sublinear)."""
        tensors = {
            "keys": self.vocabulary.keys,
            "idf": self.vocabulary.idf,
            "coef": self.coefficients_FC,
            "intercept": self.intercepts_C,
        }
        save_file({name: np.ascontiguousarray(one) for name, one in tensors.items()}, folder / "model.safetensors")
        settings = {"ngrams": self.ngrams.model_dump(mode="json"), "sublinear": self.vocabulary.sublinear}
        (folder / "linear.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def train_linear(
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    network: NetworkSettings,
    measure: MeasureAnswers,
    num_threads: int,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Train the linear model and measure it on the validation split, which is the only record of the training."""
    with threadpool_limits(num_threads):
        model = fit_linear(train, network)
        scores = measure(Choices(model.logits(valid.texts), network.link).activate(), valid.targets)
    architecture = {"family": "linear", "num_features": len(model.vocabulary.keys), "num_classes": len(network.labels)}
    record = {"step": 1, "epoch": 0, **{f"valid_{name}": score for name, score in scores.items()}}
    tell(record)

    def save(folder: Path) -> None:
        model.save(folder)
        (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")

    return Trained(save, scores, architecture, 0)


def fit_linear(train: LabeledTexts, network: NetworkSettings) -> LinearModel:
    """Return the model with the least regularized log loss.

    Source: Wang, Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", ACL P12-2018.
    Differs: TF-IDF weights of words and characters, and logistic regression in place of the support vector machine.
    """
    ngrams = linear_ngrams(train.texts)
    hashes = hash_texts(train.texts, ngrams)
    vocabulary, rows = tfidf.fit_transform(hashes, min_df=MIN_TEXTS, max_features=MAX_FEATURES)
    matrix = _matrix(rows, len(vocabulary.keys))
    coefficients_CF, intercepts_C = fit_regression(matrix, train.targets, network)
    coefficients_FC = np.ascontiguousarray(coefficients_CF.T, dtype=np.float32)
    return LinearModel(ngrams, vocabulary, coefficients_FC, intercepts_C.astype(np.float32))


def fit_regression(
    matrix: Any,
    targets_NC: FloatArray,
    network: NetworkSettings,
    *,
    strength: float = INVERSE_REGULARIZATION,
    tolerance: float = TOLERANCE,
    has_bias: bool = True,
) -> tuple[Any, Any]:
    """Return coefficients_CF and intercepts_C with the least regularized log loss.

    Args:
        matrix: Features of N texts, shape (N, F), sparse or not.
        targets_NC: 1 where a label holds.
        network: The loss, and whether classes are balanced.
        strength: Inverse of the regularization's.
        tolerance: The largest part of the gradient at which the search ends.
        has_bias: Whether there are intercepts; else they are 0.
    """
    model = _regression(network, strength, tolerance, has_bias)
    if network.link.excludes:
        return _fit_softmax(matrix, targets_NC, model)
    columns = [_fit_one(matrix, targets_NC[:, column], model) for column in range(targets_NC.shape[1])]
    return np.concatenate([one[0] for one in columns]), np.concatenate([one[1] for one in columns])


def _fit_softmax(matrix: Any, targets_NC: FloatArray, model: Any) -> tuple[Any, Any]:
    """Return coefficients_CF and intercepts_C of one regression over all classes; absent classes get -30."""
    num_classes = targets_NC.shape[1]
    model = model.fit(matrix, targets_NC.argmax(axis=1))
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        # Of two classes scikit-learn scores the second alone; half of it to each side is the same to softmax.
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.append(-intercepts, intercepts) / 2
    coefficients_CF = np.zeros((num_classes, coefficients.shape[1]), dtype=coefficients.dtype)
    intercepts_C = np.full(num_classes, ABSENT)
    coefficients_CF[model.classes_], intercepts_C[model.classes_] = coefficients, intercepts
    return coefficients_CF, intercepts_C


def _fit_one(matrix: Any, targets_N: FloatArray, model: Any) -> tuple[Any, Any]:
    """Return coefficients_1F and intercepts_1 of one label against the rest."""
    if targets_N.min() == targets_N.max():
        return np.zeros((1, matrix.shape[1])), np.array([-ABSENT if targets_N[0] else ABSENT])
    model = model.fit(matrix, targets_N.astype(np.int64))
    return model.coef_, model.intercept_


def _regression(network: NetworkSettings, strength: float, tolerance: float, has_bias: bool) -> Any:
    return LogisticRegression(
        C=strength,
        solver="lbfgs",
        tol=tolerance,
        fit_intercept=has_bias,
        max_iter=MAX_ITERATIONS,
        class_weight="balanced" if network.is_balanced else None,
    )


def _matrix(rows: tfidf.SparseRows, num_features: int) -> Any:
    return scipy.sparse.csr_matrix(
        (rows.values, rows.indices, rows.offsets), shape=(len(rows.offsets) - 1, num_features)
    )
