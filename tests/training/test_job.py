"""What a training chooses by: one of the task's measures or the loss, by default the task's headline."""

import dataclasses

import numpy as np
import pytest

from yanmo.answers.choices import Choices
from yanmo.errors import ConfigError
from yanmo.family_settings import HEAD_DEFAULTS
from yanmo.metrics.labels import ACCURACY
from yanmo.metrics.measures import Measure
from yanmo.models import ModelSpec, resolve
from yanmo.tasks import TASKS
from yanmo.training.job import find_metric, measure_answers, settle
from yanmo.training.train_config import TrainConfig

ERRORS = Measure("errors", lambda sums: 1 - ACCURACY.of_sums(sums), "errors", higher_is_better=False)


@pytest.mark.parametrize("name", list(TASKS))
def test_without_a_name_the_headline_chooses(name):
    headline = TASKS[name].measures[0]
    assert find_metric(TASKS[name], None, verb="train") == (headline.name, not headline.higher_is_better)
    for one in TASKS[name].measures:
        assert find_metric(TASKS[name], one.name, verb="train") == (one.name, not one.higher_is_better)


def test_the_least_is_the_best_of_a_loss_and_of_what_should_be_small():
    task = dataclasses.replace(TASKS["single_label"], measures=(ERRORS, ACCURACY))
    assert find_metric(task, None, verb="train") == ("errors", True)
    assert find_metric(task, "accuracy", verb="train") == ("accuracy", False)
    assert find_metric(task, "loss", verb="tune") == ("loss", True)


@pytest.mark.parametrize(("name", "meant"), [("acuracy", " Did you mean 'accuracy'?"), ("", "")])
def test_what_the_task_is_not_measured_by_is_refused(name, meant):
    with pytest.raises(ConfigError) as caught:
        find_metric(TASKS["multi_label"], name, verb="tune")
    assert str(caught.value) == (
        "The 'metric' parameter of tune must be one of: micro_f1, accuracy, macro_f1, weighted_f1, loss. "
        f"Got {name!r} instead.{meant}\nhint: These are what the task multi_label is measured by."
    )


def test_training_measures_what_the_task_is_measured_by_and_the_loss():
    task = TASKS["multi_label"]
    evidence = Choices(np.array([[0.75, 0.25], [0.25, 0.75]], dtype=np.float32), task.link)
    found = measure_answers(task, evidence, np.array([[1, 0], [1, 1]], dtype=np.float32))
    assert list(found) == ["micro_f1", "accuracy", "macro_f1", "weighted_f1", "loss"]
    assert (found["accuracy"], found["micro_f1"]) == (0.5, pytest.approx(0.8))
    assert found["loss"] == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4)


def test_a_score_that_has_no_value_is_0_for_training():
    task = TASKS["multi_label"]
    nothing = Choices(np.zeros((2, 2), np.float32), task.link)
    found = measure_answers(task, nothing, np.zeros((2, 2), np.float32))
    assert (found["micro_f1"], found["macro_f1"], found["accuracy"]) == (0.0, 0.0, 1.0)


def test_a_tagger_keeps_one_mean_of_its_weights():
    ours = {"model": "bilstm"}
    task = TASKS["token_labels"]
    assert (
        settle(TrainConfig(**ours), resolve("bilstm"), 1000, task).ema_decay
        == HEAD_DEFAULTS["units"]["bilstm"]["ema_decay"]
    )
    other = settle(TrainConfig(**ours, swa_start=0.5), resolve("bilstm"), 1000, task)
    assert (other.ema_decay, other.swa_start) == (TrainConfig().ema_decay, 0.5)
    assert settle(TrainConfig(**ours), resolve("bilstm"), 1000, TASKS["single_label"]).ema_decay == other.ema_decay


@pytest.mark.parametrize(("model", "task"), [("linear", "token_labels"), ("window", "single_label")])
def test_a_family_without_a_head_for_what_is_labeled_is_refused(model, task):
    with pytest.raises(ConfigError, match="Families that suit it: bert, roberta, albert, electra, bilstm, textcnn"):
        settle(TrainConfig(model=model), resolve(model), 1000, TASKS[task])


def test_pairs_are_learned_at_a_lower_rate_unless_one_is_given():
    spec = ModelSpec("encoder", "pretrained", layers=6, width=384, source="encoder", is_local=True)
    rates = [
        settle(TrainConfig(model="encoder", **keys), spec, 770, TASKS["single_label"]).learning_rate
        for keys in ({}, {"few_shot": True}, {"few_shot": True, "learning_rate": 1e-3})
    ]
    assert rates == [1.7e-4, 5.1e-5, 1e-3]
