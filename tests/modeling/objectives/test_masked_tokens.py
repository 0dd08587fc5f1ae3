import numpy as np
import pytest
import torch

from yanmo.modeling.objectives.masked_tokens import MaskedTokens, QuestionCounts, measure_outputs

OUTPUTS_BS = torch.tensor([[2.0, 1.0, 2.0, 9.0], [4.0, 1.0, 1.0, 7.0]])


def test_the_loss_of_parts_of_a_batch_adds_up_to_that_of_the_whole():
    objective, targets = MaskedTokens((1.0,)), QuestionCounts(np.array([1.5], dtype=np.float32), 2)
    whole = objective.loss(OUTPUTS_BS, targets.collate(np.arange(2)))
    parts = [objective.loss(OUTPUTS_BS[row : row + 1], targets.collate(np.array([row]))) for row in (0, 1)]
    assert whole.item() == pytest.approx((2 + 4) / 3)
    assert sum(parts).item() / 2 == pytest.approx(whole.item())


def test_what_is_counted_becomes_accuracy_and_speed():
    objective = MaskedTokens((1.0,))
    counts = objective.counts(OUTPUTS_BS).tolist()
    assert counts == [2.0, 3.0, 16.0]
    assert objective.describe(counts, 2.0) == {"train_masked_accuracy": 2 / 3, "tokens_per_second": 8.0}
    assert objective.describe([], 1.0)["train_masked_accuracy"] == 0.0


def test_each_part_of_the_objective_is_measured_and_their_weighted_sum_is_the_loss():
    outputs_NS = np.array([[2.0, 1.0, 2.0, 3.0, 1.0, 6.0, 6.0]], dtype=np.float32)
    measured = MaskedTokens((1.0, 50.0)).measure(outputs_NS, QuestionCounts(np.ones(2, np.float32), 1))
    assert measured["masked_loss"] == 1.0
    assert measured["replaced_loss"] == 0.5
    assert measured["loss"] == 26.0
    assert measure_outputs(outputs_NS)["replaced_accuracy"] == pytest.approx(1 / 6)
