"""Masks out of random words: their share, their scale, their seed; and several of them before the last layer."""

import numpy as np
import pytest
import torch
from torch import nn

from yanmo.modeling.networks.dropout import MaskedDropout, Masks, SampledDropout, replace_dropout


def seeded(number):
    masks = Masks()
    masks.seed(np.random.SeedSequence(number))
    return masks


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_share_of_zeros_is_the_probability_and_the_rest_is_scaled(probability):
    dropped = MaskedDropout(probability, seeded(1))(torch.ones(1000, 1001))
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / dropped.numel()) ** 0.5)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert len(dropped.unique()) == 2


def test_a_share_of_nearly_all_leaves_finite_activations():
    dropped = MaskedDropout(0.999999, seeded(1))(torch.ones(1000, 1000))
    assert dropped.unique().tolist() == [0.0, 65536.0]


def test_masks_are_a_function_of_the_seed():
    like = torch.empty(7, 5)
    first, again, other = (seeded(number) for number in (3, 3, 4))
    draws = [(masks.draw(like, 0.5), masks.draw(like, 0.5)) for masks in (first, again, other)]
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])
    assert not torch.equal(draws[0][0], draws[0][1])
    assert not torch.equal(draws[0][0], draws[2][0])


def test_no_two_places_share_their_luck():
    masks = seeded(1)
    kept = torch.stack([masks.draw(torch.empty(64), 0.5) > 0 for _ in range(4000)]).double()
    correlations = torch.corrcoef(kept.T) - torch.eye(64)
    assert correlations.abs().max().item() < 6 / 4000**0.5


def test_the_gradient_passes_where_the_activation_did():
    inputs = torch.ones(30, 30, requires_grad=True)
    dropped = MaskedDropout(0.3, seeded(2))(inputs)
    dropped.sum().backward()
    assert torch.equal(inputs.grad, dropped.detach())


def test_nothing_is_dropped_outside_of_training():
    module = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.2)), nn.Linear(3, 3))
    replace_dropout(module, seeded(1))
    assert [type(one) for one in (module[0], module[1][0])] == [MaskedDropout, MaskedDropout]
    ones = torch.ones(4, 3)
    assert torch.equal(module[:2].eval()(ones), ones)
    assert not torch.equal(module[:2].train()(ones), ones)


def test_several_masks_are_stacked_in_training_only():
    sampling = SampledDropout(MaskedDropout(0.5, seeded(1)), 3)
    inputs = torch.ones(4, 10)
    assert sampling(inputs).shape == (12, 10)
    first, second, third = sampling(inputs).split(4)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert torch.equal(sampling.eval()(inputs), inputs)
