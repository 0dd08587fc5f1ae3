"""The loss over units: every unit counts alike, whatever batch it is in; those without a tag count nothing."""

import numpy as np
import pytest
import torch

from yanmo.answers.links import SOFTMAX
from yanmo.arrays import Ragged
from yanmo.modeling.objectives.choices import ChoicesObjective, distillation_loss, softmax_cross_entropy
from yanmo.modeling.objectives.unit_choices import UnitChoicesObjective, UnitTags
from yanmo.modeling.settings import Teaching

TAGS = Ragged(np.array([0, 2, -1, 1, -1, 2, 2]), np.array([0, 3, 3, 4, 7]))
PLACES = Ragged(np.stack([np.arange(7), np.arange(1, 8)], axis=1), np.array([0, 4, 7]))


@pytest.fixture
def targets():
    return UnitTags(TAGS, 3, PLACES)


@pytest.fixture
def logits_UC():
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)


def no_scores(*_):
    return {}


def make_objective(targets, **settings):
    return UnitChoicesObjective(ChoicesObjective(SOFTMAX, no_scores, **settings), no_scores, targets.units_a_row)


def outputs_of(logits_UC, rows):
    places = Ragged(np.arange(7), TAGS.offsets).take(np.array(rows)).values
    return logits_UC[torch.from_numpy(places)]


def test_the_loss_of_all_rows_is_the_mean_over_units_with_a_tag(targets, logits_UC):
    found = make_objective(targets).loss(logits_UC, targets.collate(np.arange(4)))
    kept = TAGS.values >= 0
    expected = softmax_cross_entropy(logits_UC[kept], torch.from_numpy(targets.values_UC()[kept]))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("parts", [[[0], [1], [2], [3]], [[3, 1], [0, 2]], [[0, 1, 2], [3]]])
@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1, "focal_gamma": 2.0}])
def test_how_rows_are_cut_into_parts_changes_nothing(targets, logits_UC, parts, settings):
    objective = make_objective(targets, **settings)
    whole = objective.loss(logits_UC, targets.collate(np.arange(4)))
    losses = [
        objective.loss(outputs_of(logits_UC, rows), targets.collate(np.array(rows))) * len(rows) / 4 for rows in parts
    ]
    torch.testing.assert_close(sum(losses), whole)


def test_a_part_without_a_tag_has_no_loss_and_a_gradient(targets, logits_UC):
    loss = make_objective(targets).loss(outputs_of(logits_UC, [1]), targets.collate(np.array([1])))
    loss.backward()
    assert loss.item() == 0
    assert not logits_UC.grad.any()


def test_two_passes_that_agree_cost_what_one_does(targets, logits_UC):
    batch = targets.collate(np.arange(4))
    twice = make_objective(targets, r_drop=1.0).loss(logits_UC.repeat(2, 1), batch)
    torch.testing.assert_close(twice, make_objective(targets).loss(logits_UC, batch))


def test_texts_are_measured_and_not_their_windows(targets):
    seen = []
    objective = UnitChoicesObjective(
        ChoicesObjective(SOFTMAX, no_scores), lambda *both: seen.append(both) or {"loss": 0.0}, 1.0
    )
    objective.measure(np.zeros((7, 3), dtype=np.float32), targets)
    (evidence, truth) = seen[0]
    assert (len(evidence), len(truth), evidence.places.tolist()) == (2, 2, PLACES.values.tolist())
    assert truth.row(0).tolist() == [0, 2, -1, 1]


def test_a_teacher_is_heard_about_every_unit_and_labels_where_there_are_some(logits_UC):
    soft_UC = np.full((7, 3), 1 / 3, dtype=np.float32)
    taught = UnitTags(TAGS, 3, PLACES, soft_UC)
    objective = make_objective(taught, teaching=Teaching(alpha=0.5, temperature=2.0))
    batch = taught.collate(np.arange(4))
    labels, is_labeled = batch["labels"], torch.from_numpy(TAGS.values >= 0)
    expected = distillation_loss(
        logits_UC,
        torch.from_numpy(soft_UC),
        labels,
        is_labeled,
        soft_loss=softmax_cross_entropy,
        hard_loss=softmax_cross_entropy,
        alpha=0.5,
        temperature=2.0,
    )
    torch.testing.assert_close(objective.loss(logits_UC, batch), expected)
    parts = [
        objective.loss(outputs_of(logits_UC, rows), taught.collate(np.array(rows))) * len(rows) / 4
        for rows in ([3, 1], [0, 2])
    ]
    torch.testing.assert_close(sum(parts), expected)
    assert taught.take(np.array([2, 0])).soft_UC.shape == (4, 3)
