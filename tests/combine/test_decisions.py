"""Decisions with a truth: all of whole texts, of labeled units those that have a label."""

import numpy as np

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.arrays import Ragged
from yanmo.combine.decisions import labeled_decisions

VALUES_MC = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_whole_texts_are_decisions_as_they_are():
    evidence, targets_NC = Choices(VALUES_MC, SOFTMAX), np.eye(3, dtype=np.float32)[[0, 2, 1, 1]]
    found, targets_MC = labeled_decisions(evidence, targets_NC)
    assert found is evidence
    assert targets_MC is targets_NC


def test_units_without_a_label_are_left_out():
    evidence = Choices(VALUES_MC, SOFTMAX, np.array([0, 3, 3, 4]))
    targets = Ragged(np.array([2, -1, 0, -1]), evidence.offsets_N)
    found, targets_MC = labeled_decisions(evidence, targets)
    assert found.values_MC.tolist() == VALUES_MC[[0, 2]].tolist()
    assert targets_MC.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert len(found) == 2
