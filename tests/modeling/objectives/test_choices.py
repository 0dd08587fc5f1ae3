"""Losses against torch's own and against arithmetic by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from yanmo.answers.links import SIGMOID, SOFTMAX, Softmax
from yanmo.errors import ModelError
from yanmo.modeling.objectives.choices import (
    DIVERGENCES,
    LOSSES,
    ChoicesObjective,
    Labels,
    TaughtLabels,
    balanced_class_weights,
    distillation_loss,
    row_of_link,
    sigmoid_cross_entropy,
    sigmoid_divergence,
    softmax_cross_entropy,
    softmax_divergence,
)
from yanmo.modeling.settings import Teaching


class Ordered(Softmax):
    """A softmax whose labels have an order."""


class Unknown:
    """Derives from nothing."""

    name = "unknown"


@pytest.fixture
def logits_NC():
    return torch.tensor([[1.0, -1.0, 0.5], [0.0, 2.0, 0.0]])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_softmax_is_torch_cross_entropy(logits_NC, smoothing):
    targets_NC = functional.one_hot(torch.tensor([2, 1]), 3).float()
    expected = functional.cross_entropy(logits_NC, torch.tensor([2, 1]), label_smoothing=smoothing)
    torch.testing.assert_close(softmax_cross_entropy(logits_NC, targets_NC, label_smoothing=smoothing), expected)


def test_softmax_takes_another_models_probabilities(logits_NC):
    targets_NC = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    torch.testing.assert_close(
        softmax_cross_entropy(logits_NC, targets_NC), functional.cross_entropy(logits_NC, targets_NC)
    )


def test_sigmoid_sums_over_classes():
    loss = sigmoid_cross_entropy(torch.zeros(2, 3), torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]))
    assert loss.item() == pytest.approx(3 * math.log(2))


def test_sigmoid_smoothing_moves_targets_to_the_middle(logits_NC):
    half_NC = torch.full((2, 3), 0.5)
    near = sigmoid_cross_entropy(logits_NC, torch.ones(2, 3), label_smoothing=0.999999)
    torch.testing.assert_close(near, sigmoid_cross_entropy(logits_NC, half_NC), atol=1e-4, rtol=0)


def test_class_weights_scale_the_loss_of_their_class(logits_NC):
    targets_NC = functional.one_hot(torch.tensor([2, 1]), 3).float()
    rows_N = functional.cross_entropy(logits_NC, torch.tensor([2, 1]), reduction="none")
    weighted = softmax_cross_entropy(logits_NC, targets_NC, class_weights_C=torch.tensor([1.0, 3.0, 0.5]))
    torch.testing.assert_close(weighted, (0.5 * rows_N[0] + 3.0 * rows_N[1]) / 2)


def test_a_batch_weighs_what_its_rows_weigh(logits_NC):
    targets_NC = functional.one_hot(torch.tensor([2, 1]), 3).float()
    weights_C = torch.tensor([1.0, 3.0, 0.5])
    rows = zip(logits_NC.split(1), targets_NC.split(1), strict=True)
    halves = [softmax_cross_entropy(*row, class_weights_C=weights_C) for row in rows]
    whole = softmax_cross_entropy(logits_NC, targets_NC, class_weights_C=weights_C)
    torch.testing.assert_close(sum(halves) / 2, whole)


def test_balanced_weights_let_classes_count_alike():
    targets_NC = np.eye(3, dtype=np.float32)[[0, 0, 0, 1]]
    weights_C = balanced_class_weights(targets_NC)
    torch.testing.assert_close(weights_C, torch.tensor([4 / 6, 2.0, 1.0]))
    assert (targets_NC @ weights_C.numpy()).mean() == pytest.approx(1.0)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_counts_what_is_answered_well_less(logits_NC, gamma):
    targets_NC = functional.one_hot(torch.tensor([2, 1]), 3).float()
    right_N = torch.softmax(logits_NC, dim=1)[torch.arange(2), torch.tensor([2, 1])]
    expected = ((1 - right_N) ** gamma * -right_N.log()).mean()
    torch.testing.assert_close(softmax_cross_entropy(logits_NC, targets_NC, focal_gamma=gamma), expected)


def test_focal_of_yes_and_no(logits_NC):
    targets_NC = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    right_NC = torch.where(targets_NC == 1, torch.sigmoid(logits_NC), torch.sigmoid(-logits_NC))
    expected = ((1 - right_NC) ** 2 * -right_NC.log()).sum(dim=1).mean()
    torch.testing.assert_close(sigmoid_cross_entropy(logits_NC, targets_NC, focal_gamma=2.0), expected)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, sigmoid_cross_entropy])
def test_focal_has_a_gradient_where_an_answer_is_certain(loss):
    logits_NC = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss(logits_NC, torch.tensor([[1.0, 0.0]]), focal_gamma=0.5).backward()
    assert torch.isfinite(logits_NC.grad).all()


def test_divergence_is_the_mean_of_both_kullback_leibler_divergences(logits_NC):
    other_NC = torch.tensor([[0.0, 1.0, -2.0], [0.3, 0.1, 0.0]])
    both = [functional.log_softmax(one, dim=1) for one in (logits_NC, other_NC)]
    expected = sum(functional.kl_div(*pair, reduction="batchmean", log_target=True) for pair in (both, both[::-1])) / 2
    torch.testing.assert_close(softmax_divergence(logits_NC, other_NC), expected)
    assert softmax_divergence(logits_NC, logits_NC).item() == 0


def test_divergence_of_two_classes_is_that_of_yes_and_no():
    first_N1, second_N1 = torch.tensor([[0.5], [-2.0]]), torch.tensor([[1.0], [0.1]])
    pairs = [torch.cat([one, torch.zeros_like(one)], dim=1) for one in (first_N1, second_N1)]
    torch.testing.assert_close(sigmoid_divergence(first_N1, second_N1), softmax_divergence(*pairs))


def test_distillation_weighs_teacher_and_label_and_bears_rows_without_one():
    logits_NC, hard_NC = torch.tensor([[1.0, 0.0], [0.5, -0.5]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    is_labeled_N = torch.tensor([True, False])
    soft_NC = torch.tensor([[0.7, 0.3], [0.2, 0.8]])
    losses = {"soft_loss": softmax_cross_entropy, "hard_loss": softmax_cross_entropy}
    found = distillation_loss(
        logits_NC.requires_grad_(), soft_NC, hard_NC, is_labeled_N, **losses, alpha=0.25, temperature=2.0
    )
    soft = [4 * softmax_cross_entropy(logits_NC[row : row + 1] / 2, soft_NC[row : row + 1]) for row in (0, 1)]
    expected = (0.25 * soft[0] + 0.75 * softmax_cross_entropy(logits_NC[:1], hard_NC[:1]) + soft[1]) / 2
    assert torch.allclose(found, expected)
    found.backward()
    assert torch.isfinite(logits_NC.grad).all()


def test_targets_of_rows_are_collated_by_name():
    values_NC, soft_NC = np.eye(3, dtype=np.float32), np.full((3, 3), 1 / 3, dtype=np.float32)
    assert Labels(values_NC).collate(np.array([2, 0]))["labels"].tolist() == [[0, 0, 1], [1, 0, 0]]
    taught = TaughtLabels(values_NC, np.array([True, False, True]), soft_NC)
    batch = taught.collate(np.array([1, 2]))
    assert len(taught) == 3
    assert batch["is_labeled"].tolist() == [False, True]
    assert batch["soft"].shape == (2, 3)


def test_a_taught_objective_is_the_distillation_loss(logits_NC):
    labels_NC = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    soft_NC, is_labeled_N = torch.full((2, 3), 1 / 3), torch.tensor([True, False])
    objective = ChoicesObjective(SOFTMAX, lambda *_: {}, teaching=Teaching(alpha=0.3, temperature=2.0))
    found = objective.loss(logits_NC, {"labels": labels_NC, "soft": soft_NC, "is_labeled": is_labeled_N})
    losses = {"soft_loss": softmax_cross_entropy, "hard_loss": softmax_cross_entropy}
    expected = distillation_loss(logits_NC, soft_NC, labels_NC, is_labeled_N, **losses, alpha=0.3, temperature=2.0)
    torch.testing.assert_close(found, expected)


def test_held_out_rows_are_measured_by_their_evidence():
    objective = ChoicesObjective(SOFTMAX, lambda evidence, _: {"loss": float(evidence.values_MC[0, 0])})
    outputs_NS = np.array([[0.0, 0.0]], dtype=np.float32)
    assert objective.measure(outputs_NS, Labels(np.eye(2, dtype=np.float32)[:1])) == {"loss": 0.5}
    assert objective.describe([], 1.0) == {}


@pytest.mark.parametrize("table", [LOSSES, DIVERGENCES], ids=["losses", "divergences"])
def test_a_link_that_derives_from_another_is_trained_as_that_one(table):
    assert row_of_link(table, Ordered()) is row_of_link(table, SOFTMAX) is table[Softmax]
    assert row_of_link(table, SIGMOID) is not row_of_link(table, SOFTMAX)
    with pytest.raises(ModelError) as caught:
        row_of_link(table, Unknown())
    assert str(caught.value) == (
        "Nothing here can train the link 'unknown'.\nhint: Derive its class from one that has a loss: Softmax, Sigmoid."
    )
