"""The mean of weights over steps, against sums by hand."""

import dataclasses

import pytest
from torch import nn

from yanmo.modeling.optimizing.averages import Average, average_rate
from yanmo.modeling.settings import LoopSettings

SETTINGS = LoopSettings(0.1, 8, 1, 0.0, 1, 1)
WEIGHTS = [1.0, 4.0, 10.0, 2.0, 7.0, 3.0, 8.0, 5.0, 6.0, 9.0]


def averaged(**changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    module = nn.Linear(1, 1, bias=False)
    average = Average(module)
    for step, weight in enumerate(WEIGHTS, 1):
        nn.init.constant_(module.weight, weight)
        rate = average_rate(settings, step, len(WEIGHTS))
        if rate is not None:
            average.update(rate)
    return module, average


def test_swa_is_the_plain_mean_of_the_weights_after_its_start():
    _, average = averaged(swa_start=0.4)
    assert average.weights["weight"].item() == pytest.approx(sum(WEIGHTS[4:]) / 6)


def test_ema_keeps_its_share_and_forgets_faster_at_the_beginning():
    _, average = averaged(ema_decay=0.5)
    expected = WEIGHTS[0]
    for step, weight in enumerate(WEIGHTS[1:], 2):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    assert average.weights["weight"].item() == pytest.approx(expected)


def test_without_either_there_is_no_mean():
    module, average = averaged()
    assert average.weights == {}
    with average.applied():
        assert module.weight.item() == WEIGHTS[-1]


def test_the_mean_stands_in_the_weights_place_inside_the_block_only():
    module, average = averaged(swa_start=0.0)
    with average.applied():
        assert module.weight.item() == pytest.approx(sum(WEIGHTS) / len(WEIGHTS))
    assert module.weight.item() == WEIGHTS[-1]


def test_weights_that_do_not_learn_are_not_kept():
    module = nn.Linear(2, 2)
    module.weight.requires_grad_(False)
    average = Average(module)
    average.update(1.0)
    assert list(average.weights) == ["bias"]
