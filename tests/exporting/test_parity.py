"""The parity gate: it lets equal runtimes pass, and no others."""

from __future__ import annotations

import numpy as np
import pytest

from yanmo.answers.answered import Found
from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.errors import ModelError
from yanmo.exporting.parity import check_parity, random_texts
from yanmo.protocols import Inference
from yanmo.text.inputs import Inputs

TEXTS = ["很快，好吃", "good"]


class Lengths:
    """A runtime whose scores are the texts' lengths, with an error for long texts."""

    def __init__(self, error=0.0, longer_than=0, link=SOFTMAX):
        self._error, self._longer_than, self._link = error, longer_than, link

    def infer(self, inputs):
        lengths_N = np.sum([list(map(len, column)) for column in inputs.columns], axis=0)
        wrong_N = np.where(lengths_N > self._longer_than, self._error, 0.0)
        logits_NC = np.stack([np.sin(lengths_N) + wrong_N, np.cos(lengths_N)], axis=1).astype(np.float32)
        zeros_N = np.zeros(len(inputs), np.int64)
        found = Found(lengths_N, zeros_N, zeros_N.astype(bool), int(lengths_N.sum()))
        return Inference(Choices(logits_NC, self._link), found)


def check(candidate, *others):
    return check_parity(Lengths(), candidate, Inputs((TEXTS, *others)), max_length=32)


@pytest.mark.parametrize("others", [(), (["a", "b"],)])
def test_equal_runtimes_pass_and_the_difference_is_returned(others):
    assert check(Lengths(), *others) == 0.0
    assert 1e-6 < check(Lengths(error=1e-4), *others) < 1e-4


@pytest.mark.parametrize("error", [0.01, float("nan")])
def test_a_runtime_that_is_wrong_on_long_texts_only_is_refused(error):
    with pytest.raises(ModelError, match=r"probabilities differ by (0\.\d+|nan), more than 0\.0001, on 502 texts"):
        check(Lengths(error, longer_than=40))


def test_no_golden_example_is_needed():
    first, second = Lengths(link=SIGMOID), Lengths(link=SIGMOID)
    assert check_parity(first, second, Inputs(([],)), max_length=4) == 0.0


def test_random_texts_have_all_lengths_and_the_given_characters():
    made = random_texts(TEXTS, max_length=50)
    lengths = [len(text) for text in made]
    assert len(made) == 500
    assert {0, 1, 100} <= set(lengths)
    assert len({length // 10 for length in lengths}) >= 10
    assert "吃" in "".join(made)
    assert made == random_texts(TEXTS, max_length=50)
