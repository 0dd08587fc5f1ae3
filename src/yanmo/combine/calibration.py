"""Calibration: from a model's scores to scores whose probabilities match frequencies; it knows no model and no file.

A calibration is fitted on rows the model has not learned from, is a few numbers in a Bundle's manifest, and is applied
between the runtime's scores and the probabilities, whatever the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from yanmo.answers.choices import Choices
from yanmo.answers.forms import row_of
from yanmo.answers.links import SIGMOID, Link
from yanmo.arrays import Doubles, FloatArray
from yanmo.errors import ArtifactError, MissingExtraError
from yanmo.metrics import calibration_bins, expected_calibration_error
from yanmo.protocols import Task
from yanmo.tasks.labels import LabelTask

__all__ = [
    "METHODS",
    "Calibration",
    "calibration_error",
    "fit_calibration",
    "read_calibration",
    "scipy_optimize",
]

Method = Literal["temperature", "vector", "isotonic"]
METHODS: tuple[Method, ...] = ("temperature", "vector", "isotonic")

# Temperatures from 0.05 to 55; in logarithms twice and half are equally far from 1.
LEAST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE = -3.0, 4.0
GOLDEN_RATIO = (5**0.5 - 1) / 2
# 0.618^40 of the interval is left, which is below the six digits that are kept.
NUM_SECTIONS = 40
RIDGE = 1.0


@dataclass(frozen=True)
class Calibration:
    """One of three maps from scores to scores; a temperature divides those of any form of evidence.

    Attributes:
        method: ``temperature``: one divisor of all scores. ``vector``: a factor and an addend for each label.
            ``isotonic``: a rising line of points for each label's probability, then rows are scaled to sum to 1.
        parameters: JSON values: ``temperature``; ``scale`` and ``bias``; ``x`` and ``y``, one list a label.
    """

    method: Method
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return what :func:`read_calibration` reads."""
        return {"method": self.method, **self.parameters}

    def apply(self, scores: Any) -> Any:
        """Return a runtime's scores, calibrated.

        A temperature softens what is decided together as a yes or no of its own; other maps say nothing of that.
        """
        if self.method == "temperature":
            divided = _divided(scores, self.parameters["temperature"])
            if not isinstance(scores, Choices) or scores.joint_M is None:
                return divided
            joint_M = SIGMOID.soften(scores.joint_M, temperature=self.parameters["temperature"])
            return divided.having(divided.values_MC, joint_M=joint_M)
        return scores.having(self._map(scores.values_MC, scores.link))

    def _map(self, logits_NC: FloatArray, link: Link) -> FloatArray:
        if self.method == "vector":
            scale_C = np.asarray(self.parameters["scale"], dtype=np.float32)
            return logits_NC * scale_C + np.asarray(self.parameters["bias"], dtype=np.float32)
        probabilities_NC = link.activate(logits_NC)
        mapped_NC = np.empty_like(probabilities_NC)
        for column, points in enumerate(zip(self.parameters["x"], self.parameters["y"], strict=True)):
            mapped_NC[:, column] = np.interp(probabilities_NC[:, column], *points)
        return link.invert(link.normalize(mapped_NC))


def read_calibration(values: Mapping[str, Any], *, num_classes: int, where: str) -> Calibration:
    """Return a calibration from a manifest.

    Raises:
        ArtifactError: It is of an unknown method or does not fit the labels.
    """
    rest = {key: value for key, value in values.items() if key != "method"}
    expected = {"temperature": {"temperature"}, "vector": {"scale", "bias"}, "isotonic": {"x", "y"}}
    method = values.get("method")
    lists = [value for key, value in rest.items() if key != "temperature"]
    if method not in expected or set(rest) != expected[method] or any(len(one) != num_classes for one in lists):
        raise ArtifactError(
            f"The calibration of {where} has the method {method!r} with {', '.join(sorted(rest)) or 'nothing'}.",
            hint=f"The methods are: {', '.join(METHODS)}. Calibrate the Bundle again.",
        )
    return Calibration(method, rest)


def fit_calibration(method: Method, scores: Any, targets: Any, task: Task[Any]) -> Calibration:
    """Return the calibration of the least log loss (isotonic: of the least squares) on held-out rows.

    Args:
        method: Which map.
        scores: A runtime's scores of rows it has not learned from, N >= 1.
        targets: What holds, as the task has it.
        task: Says what the loss of a decision is.

    Raises:
        ConfigError: vector and isotonic are maps of labels, and the scores are of another form.
        MissingExtraError: vector and isotonic need scipy.

    Source: Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks", section 4, arXiv:1706.04599
        (temperature, vector); Zadrozny, Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass
        Probability Estimates", section 4 (isotonic, one label against the rest).
    Differs: A ridge, as heavy as a row, draws the vectors to the identity; isotonic ends stay half a row
        away from 0 and 1.
    """
    if method == "temperature":
        return _fit_temperature(scores, targets, task)
    return row_of(MAPS, type(scores), f"The method {method}")[method](*cast(LabelTask, task).labeled(scores, targets))


def calibration_error(evidence: Any, targets: Any, task: Task[Any]) -> float:
    """Return the expected calibration error of probabilities in 15 bins.

    Args:
        evidence: Probabilities.
        targets: What holds, as the task has it.
        task: Says what an answer is, and whether it is right.
    """
    return expected_calibration_error(calibration_bins(*task.answers(evidence, targets)))


def _divided(scores: Any, temperature: float) -> Any:
    return scores.with_parts(*[values / np.float32(temperature) for values in scores.parts()])


def _fit_temperature(scores: Any, targets: Any, task: Task[Any]) -> Calibration:
    """Return the divisor by golden-section search: the loss has one valley in it."""

    def loss(log_temperature: float) -> float:
        scaled = _divided(scores, float(np.exp(log_temperature)))
        return float(task.losses_M(scaled.activate(), targets).mean())

    # With the golden ratio one of the two inner points is inner again in the smaller interval: a turn costs one loss.
    low, high = LEAST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE
    inner = [high - GOLDEN_RATIO * (high - low), low + GOLDEN_RATIO * (high - low)]
    losses = [loss(one) for one in inner]
    for _ in range(NUM_SECTIONS):
        if losses[0] <= losses[1]:
            high = inner[1]
            inner = [high - GOLDEN_RATIO * (high - low), inner[0]]
            losses = [loss(inner[0]), losses[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + GOLDEN_RATIO * (high - low)]
            losses = [losses[1], loss(inner[1])]
    return Calibration("temperature", {"temperature": round(float(np.exp((low + high) / 2)), 6)})


def _fit_vector(scores: Choices, targets: FloatArray) -> Calibration:
    minimize = scipy_optimize("This method of calibration").minimize
    logits_NC, targets_NC, link = scores.values_MC.astype(np.float64), targets.astype(np.float64), scores.link
    num_rows, num_classes = logits_NC.shape

    def loss(values: Doubles) -> tuple[float, Doubles]:
        scale_C, bias_C = values[:num_classes], values[num_classes:]
        losses_N, gaps_NC = link.slopes(logits_NC * scale_C + bias_C, targets_NC)
        total = float(losses_N.mean())
        # What few rows say about a label is drawn to scale 1 and bias 0.
        pull = np.concatenate((scale_C - 1, bias_C))
        slope = np.concatenate(((gaps_NC * logits_NC).mean(axis=0), gaps_NC.mean(axis=0)))
        return total + RIDGE / num_rows * float(pull @ pull), slope + 2 * RIDGE / num_rows * pull

    start = np.concatenate((np.ones(num_classes), np.zeros(num_classes)))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x.round(6).tolist()
    return Calibration("vector", {"scale": found[:num_classes], "bias": found[num_classes:]})


def _fit_isotonic(scores: Choices, targets_NC: FloatArray) -> Calibration:
    """Return rising lines; rows of equal probability are one point, so that their order does not matter."""
    isotonic_regression = scipy_optimize("This method of calibration").isotonic_regression
    probabilities_NC = scores.activate().values_MC.astype(np.float64)
    num_rows, num_classes = probabilities_NC.shape
    points: dict[str, list[list[float]]] = {"x": [], "y": []}
    for column in range(num_classes):
        x_M, group_N, counts_M = np.unique(
            probabilities_NC[:, column].round(8), return_inverse=True, return_counts=True
        )
        means_M = np.bincount(group_N, weights=targets_NC[:, column]) / counts_M
        y_M = isotonic_regression(means_M, weights=counts_M).x
        # Of a run of equal values the ends are enough: the line between them is the same, and the manifest is smaller.
        is_end_M = np.concatenate(([True], np.diff(y_M) != 0, [True]))
        kept = np.flatnonzero(is_end_M[:-1] | is_end_M[1:])
        points["x"].append(x_M[kept].tolist())
        points["y"].append(np.clip(y_M[kept], 0.5 / num_rows, 1 - 0.5 / num_rows).round(8).tolist())
    return Calibration("isotonic", points)


MAPS: dict[type[Any], dict[str, Callable[[Choices, FloatArray], Calibration]]] = {
    Choices: {"vector": _fit_vector, "isotonic": _fit_isotonic}
}
"""Form of evidence to the maps that are fitted for each of its labels."""


def scipy_optimize(what: str) -> Any:
    """Return ``scipy.optimize``.

    Raises:
        MissingExtraError: It is not installed; the message says what needs it.
    """
    try:
        import scipy.optimize
    except ImportError as error:
        raise MissingExtraError(what, package="scipy", extra="train") from error
    return scipy.optimize
