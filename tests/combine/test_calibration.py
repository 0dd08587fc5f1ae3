"""Calibration: it finds what was bent, it never makes the log loss worse where it was fitted, and it survives JSON."""

import json

import numpy as np
import pytest

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.combine.calibration import METHODS, calibration_error, fit_calibration, read_calibration
from yanmo.errors import ArtifactError
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
    return true_NC * np.float32(temperature), targets_NC


@pytest.mark.parametrize("task", [SINGLE, MULTI], ids=["single", "multi"])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_is_found(task, temperature):
    logits_NC, targets_NC = make_scores(20_000, 4, temperature=temperature, task=task)
    found = fit_calibration("temperature", logits_NC, targets_NC, task.link)
    assert found.parameters["temperature"] == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("task", [SINGLE, MULTI], ids=["single", "multi"])
@pytest.mark.parametrize("method", METHODS)
def test_the_error_falls_on_rows_it_was_not_fitted_on(method, task):
    link = task.link
    logits_NC, targets_NC = make_scores(8000, 4, temperature=3.0, task=task)
    held_NC, held_targets_NC = make_scores(8000, 4, seed=1, temperature=3.0, task=task)
    found = fit_calibration(method, logits_NC, targets_NC, link)
    after_NC = task.link.activate(found.apply(held_NC, link))
    before_NC = task.link.activate(held_NC)
    errors = [calibration_error(one, task.choose(one), held_targets_NC, link) for one in (before_NC, after_NC)]
    assert errors[1] < 0.02 < errors[0]
    losses = [link.log_losses(one, held_targets_NC).mean() for one in (before_NC, after_NC)]
    assert losses[1] < losses[0]
    assert np.isfinite(after_NC).all()
    if link is SOFTMAX:
        np.testing.assert_allclose(after_NC.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_it_survives_json_exactly(method):
    logits_NC, targets_NC = make_scores(300, 3)
    found = fit_calibration(method, logits_NC, targets_NC, SOFTMAX)
    again = read_calibration(json.loads(json.dumps(found.to_json())), num_classes=3, where="x")
    first, second = (one.apply(logits_NC, SOFTMAX) for one in (found, again))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("method", METHODS)
def test_a_label_without_rows_breaks_nothing(method):
    logits_NC, targets_NC = make_scores(200, 3)
    logits_NC, targets_NC = logits_NC[targets_NC[:, 2] == 0], targets_NC[targets_NC[:, 2] == 0]
    found = fit_calibration(method, logits_NC, targets_NC, SOFTMAX)
    probabilities_NC = SOFTMAX.activate(found.apply(logits_NC * 100, SOFTMAX))
    assert np.isfinite(probabilities_NC).all()


@pytest.mark.parametrize("place", ["first", "last"])
def test_rows_of_one_saturated_score_get_their_share_whatever_their_order(place):
    logits_NC = np.tile(np.array([20, -20], dtype=np.float32), (400, 1))
    targets_NC = np.eye(2, dtype=np.float32)[[0] * 300 + [1] * 100]
    if place == "first":
        targets_NC = targets_NC[::-1]
    found = fit_calibration("isotonic", logits_NC, targets_NC, SOFTMAX)
    probabilities_NC = SOFTMAX.activate(found.apply(logits_NC, SOFTMAX))
    assert probabilities_NC[0] == pytest.approx([0.75, 0.25], abs=1e-6)


def test_temperature_changes_no_answer():
    logits_NC, targets_NC = make_scores(500, 5, temperature=2.0)
    found = fit_calibration("temperature", logits_NC, targets_NC, SOFTMAX)
    after_NC = found.apply(logits_NC, SOFTMAX)
    assert np.array_equal(after_NC.argmax(axis=1), logits_NC.argmax(axis=1))


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
