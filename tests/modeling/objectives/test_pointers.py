"""The objective of answers in passages: likelihoods of right starts and ends, window by window, and a teacher's."""

import numpy as np
import polars as pl
import pytest
import torch

from yanmo.answers.passage_spans import passage_pointers
from yanmo.answers.passage_truth import ANSWERS, PassageTruth
from yanmo.arrays import Ragged
from yanmo.modeling.objectives.pointers import PassageWindows, PointersObjective, right_places, taught_places
from yanmo.modeling.settings import Teaching
from yanmo.text.unit_places import unit_places

# "ab cd ef" in two windows: none, ab, cd | none, ef.
PLACES = Ragged(np.array([[8, 9], [0, 2], [3, 5], [8, 9], [6, 8]]), np.array([0, 5]))
FIRSTS = Ragged(np.array([0, 4, 5, 0, 4]), np.array([0, 3, 5]))
SCORES = np.array([[0.5, 0.1], [2.0, 0.0], [0.0, 1.0], [0.2, 0.3], [1.0, -1.0]], dtype=np.float32)


def truth(*answers):
    rows = [[{"start": start, "text": text} for start, text in answers]]
    return PassageTruth.read(["ab cd ef"], pl.Series(rows, dtype=ANSWERS), unit_places(["ab cd ef"], "tokens"))


def windows(*answers, **options):
    found = truth(*answers)
    return PassageWindows(right_places(PLACES, FIRSTS, found), PLACES, found, **options)


def test_a_window_without_the_answer_has_none_as_its_truth():
    assert windows((0, "ab cd")).right_U2.values.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1], [0, 0]]
    assert windows().right_U2.values.tolist() == [[1, 1], [0, 0], [0, 0], [1, 1], [0, 0]]
    # It begins in the one window and ends in the other.
    assert windows((3, "cd ef")).right_U2.values.tolist() == [[0, 1], [0, 0], [1, 0], [1, 0], [0, 1]]
    # An answer within a unit goes to all of it.
    assert windows((1, "b")).right_U2.values.tolist() == [[0, 0], [1, 1], [0, 0], [1, 1], [0, 0]]


def by_definition(right_U2):
    logs = [SCORES[part] - np.log(np.exp(SCORES[part]).sum(axis=0)) for part in (slice(0, 3), slice(3, 5))]
    rights = [right_U2[part] for part in (slice(0, 3), slice(3, 5))]
    each = [-np.log((np.exp(log) * right).sum(axis=0)).sum() / 2 for log, right in zip(logs, rights, strict=True)]
    return float(np.mean(each))


@pytest.mark.parametrize("answers", [[(0, "ab")], [(0, "ab"), (3, "cd")], []])
def test_the_loss_is_the_likelihood_of_all_right_places(answers):
    targets = windows(*answers)
    batch = targets.collate(np.array([0, 1]))
    loss = PointersObjective(lambda *_: {}).loss(torch.from_numpy(SCORES), batch)
    assert float(loss) == pytest.approx(by_definition(targets.right_U2.values), abs=1e-5)


def test_a_teacher_is_followed_most_where_its_answers_are_given():
    soft = passage_pointers(SCORES, PLACES).activate()
    soft_U2 = taught_places(PLACES, FIRSTS, soft)
    for part in (slice(0, 3), slice(3, 5)):
        assert soft_U2[part].sum(axis=0) == pytest.approx([1, 1], abs=1e-5)
    targets = windows((0, "ab"), soft_U2=soft_U2, is_labeled_W=np.array([True, False]))
    objective = PointersObjective(lambda *_: {}, Teaching(alpha=1.0, temperature=1.0))
    batch = targets.collate(np.array([0, 1]))
    best = torch.log(torch.from_numpy(soft_U2).clamp(min=1e-9))
    least = float(objective.loss(best, batch))
    for seed in range(5):
        noise = torch.randn(best.shape, generator=torch.Generator().manual_seed(seed))
        assert float(objective.loss(best + noise, batch)) > least


def test_held_out_windows_are_measured_as_whole_passages():
    seen = []
    PointersObjective(lambda evidence, found: seen.append((evidence, found)) or {"loss": 0.0}).measure(
        SCORES, windows()
    )
    (evidence, found) = seen[0]
    assert len(evidence) == len(found) == 1
    assert evidence.num_cells_M.tolist() == [9, 9]
