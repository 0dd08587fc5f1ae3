"""Calibration: it finds what was bent, it never makes the log loss worse where it was fitted, and it survives JSON."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.answers.pointers import Pointers
from yanmo.combine.calibration import METHODS, calibration_error, fit_calibration, read_calibration
from yanmo.errors import ArtifactError, ConfigError
from yanmo.tasks import get_task

SINGLE, MULTI = get_task("single_label"), get_task("multi_label")


def make_scores(num_rows, num_classes, seed=0, *, temperature=1.0, task=SINGLE):
    """Scores whose probabilities are true when divided by the temperature."""
    generator = np.random.default_rng(seed)
    true_NC = generator.normal(scale=2, size=(num_rows, num_classes)).astype(np.float32)
    probabilities_NC = task.link.activate(true_NC)
    draws_N = generator.random((num_rows, 1))
    if task is SINGLE:
        chosen_N = (probabilities_NC.cumsum(axis=1) < draws_N).sum(axis=1).clip(0, num_classes - 1)
        targets_NC = np.eye(num_classes, dtype=np.float32)[chosen_N]
    else:
        targets_NC = (generator.random(true_NC.shape) < probabilities_NC).astype(np.float32)
    return Choices(true_NC * np.float32(temperature), task.link), targets_NC


@pytest.mark.parametrize("task", [SINGLE, MULTI], ids=["single", "multi"])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_is_found(task, temperature):
    found = fit_calibration("temperature", *make_scores(20_000, 4, temperature=temperature, task=task), task)
    assert found.parameters["temperature"] == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("task", [SINGLE, MULTI], ids=["single", "multi"])
@pytest.mark.parametrize("method", METHODS)
def test_the_error_falls_on_rows_it_was_not_fitted_on(method, task):
    held, targets_NC = make_scores(8000, 4, seed=1, temperature=3.0, task=task)
    found = fit_calibration(method, *make_scores(8000, 4, temperature=3.0, task=task), task)
    answers = [held.activate(), found.apply(held).activate()]
    errors = [calibration_error(one, targets_NC, task) for one in answers]
    assert errors[1] < 0.02 < errors[0]
    losses = [task.losses_N(one, targets_NC).mean() for one in answers]
    assert losses[1] < losses[0]
    after_NC = answers[1].values_MC
    assert np.isfinite(after_NC).all()
    if task.link is SOFTMAX:
        np.testing.assert_allclose(after_NC.sum(axis=1), 1, atol=1e-5)


def test_the_vectors_of_few_rows_are_drawn_to_the_identity_by_a_ridge_as_heavy_as_a_row():
    scores, targets_NC = make_scores(40, 3, temperature=2.0)

    def loss(values):
        logits_NC = scores.values_MC.astype(np.float64) * values[:3] + values[3:]
        losses_N = logsumexp(logits_NC, axis=1) - (logits_NC * targets_NC).sum(axis=1)
        return losses_N.mean() + (((values[:3] - 1) ** 2).sum() + (values[3:] ** 2).sum()) / len(targets_NC)

    # Without slopes, unlike the code: a wrong slope ends elsewhere.
    expected = minimize(loss, np.array([1.0, 1, 1, 0, 0, 0])).x
    found = fit_calibration("vector", scores, targets_NC, SINGLE).parameters
    assert [*found["scale"], *found["bias"]] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_it_survives_json_exactly(method):
    scores, targets_NC = make_scores(300, 3)
    found = fit_calibration(method, scores, targets_NC, SINGLE)
    again = read_calibration(json.loads(json.dumps(found.to_json())), num_classes=3, where="x")
    first, second = (one.apply(scores).values_MC for one in (found, again))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("method", "key", "digits"),
    [("temperature", "temperature", 6), ("vector", "scale", 6), ("vector", "bias", 6), ("isotonic", "y", 8)],
)
def test_a_manifest_holds_no_more_digits_than_mean_something(method, key, digits):
    found = fit_calibration(method, *make_scores(300, 3), SINGLE).parameters[key]
    numbers = np.concatenate([np.ravel(one) for one in (found if isinstance(found, list) else [found])])
    assert numbers.tolist() == [round(one, digits) for one in numbers.tolist()]


@pytest.mark.parametrize("method", METHODS)
def test_a_label_without_rows_breaks_nothing(method):
    scores, targets_NC = make_scores(200, 3)
    rows = np.flatnonzero(targets_NC[:, 2] == 0)
    scores, targets_NC = scores.take(rows), targets_NC[rows]
    found = fit_calibration(method, scores, targets_NC, SINGLE)
    huge = Choices(scores.values_MC * 100, SOFTMAX)
    assert np.isfinite(found.apply(huge).activate().values_MC).all()


@pytest.mark.parametrize("place", ["first", "last"])
def test_rows_of_one_saturated_score_get_their_share_whatever_their_order(place):
    scores = Choices(np.tile(np.array([20, -20], dtype=np.float32), (400, 1)), SOFTMAX)
    targets_NC = np.eye(2, dtype=np.float32)[[0] * 300 + [1] * 100]
    if place == "first":
        targets_NC = targets_NC[::-1]
    found = fit_calibration("isotonic", scores, targets_NC, SINGLE)
    assert found.apply(scores).activate().values_MC[0] == pytest.approx([0.75, 0.25], abs=1e-6)


def test_temperature_changes_no_answer():
    scores, targets_NC = make_scores(500, 5, temperature=2.0)
    after = fit_calibration("temperature", scores, targets_NC, SINGLE).apply(scores)
    assert np.array_equal(after.values_MC.argmax(axis=1), scores.values_MC.argmax(axis=1))
    assert SINGLE.same_N(scores.activate(), after.activate()).all()


@pytest.mark.parametrize("method", ["vector", "isotonic"])
def test_maps_of_labels_refuse_other_forms(method):
    scores = Pointers(np.zeros(2, np.float32), np.array([0, 2]), np.array([0, 1]))
    with pytest.raises(ConfigError, match=f"The method {method} is for answers of the form Choices. Got Pointers"):
        fit_calibration(method, scores, None, SINGLE)


def test_a_temperature_divides_the_scores_of_any_form():
    scores = Pointers(np.array([3.0, -np.inf, 1.0], np.float32), np.array([0, 3]), np.array([0, 1]))
    found = read_calibration({"method": "temperature", "temperature": 2.0}, num_classes=0, where="x").apply(scores)
    assert found.values_K.tolist() == [1.5, -np.inf, 0.5]


def test_log_scores_give_the_probabilities_back():
    probabilities_NC = SOFTMAX.activate(np.random.default_rng(0).normal(scale=8, size=(1000, 6)).astype(np.float32))
    probabilities_NC[0] = [1, 0, 0, 0, 0, 0]
    assert np.abs(SOFTMAX.activate(SOFTMAX.invert(probabilities_NC)) - probabilities_NC).max() <= 1e-6
    single_NC = np.concatenate([probabilities_NC, np.array([[0, 1, 0.5, 1e-7, 1 - 1e-7, 0.1]], np.float32)])
    assert np.abs(SIGMOID.activate(SIGMOID.invert(single_NC)) - single_NC).max() <= 1e-6
    assert np.isfinite(SIGMOID.invert(single_NC)).all()


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"method": "beta", "a": 1}, "method 'beta' with a"),
        ({"method": "temperature"}, "method 'temperature' with nothing"),
        ({"method": "vector", "scale": [1.0], "bias": [0.0]}, "method 'vector' with bias, scale"),
    ],
)
def test_a_damaged_calibration_is_refused(values, shown):
    with pytest.raises(ArtifactError) as caught:
        read_calibration(values, num_classes=3, where="models/x")
    assert str(caught.value) == (
        f"The calibration of models/x has the {shown}.\n"
        "hint: The methods are: temperature, vector, isotonic. Calibrate the Bundle again."
    )
