"""The schedule and the groups of weight decay."""

import math

import pytest
import torch
from torch import nn

from yanmo.modeling.optimizing.muon import orthogonal
from yanmo.modeling.optimizing.optimizer import learning_rate_factor, make_optimizer, set_learning_rate


def test_the_rate_rises_and_falls_linearly():
    factors = [learning_rate_factor(step, num_steps=10, warmup_ratio=0.4) for step in range(10)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.5, 1.0])
def test_every_step_moves_and_none_is_above_the_peak(ratio):
    factors = [learning_rate_factor(step, num_steps=7, warmup_ratio=ratio) for step in range(7)]
    assert all(0 < factor <= 1 for factor in factors)


def test_vectors_have_no_weight_decay():
    module = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    optimizer = make_optimizer(module, learning_rate=0.1, weight_decay=0.3)
    decays = {id(one): group["weight_decay"] for group in optimizer.param_groups for one in group["params"]}
    for name, parameter in module.named_parameters():
        assert decays[id(parameter)] == (0.0 if parameter.ndim == 1 else 0.3), name


def test_frozen_weights_are_left_out():
    module = nn.Linear(3, 2)
    module.weight.requires_grad_(False)
    optimizer = make_optimizer(module, learning_rate=0.1, weight_decay=0.3)
    assert [one.shape for group in optimizer.param_groups for one in group["params"]] == [torch.Size([2])]


def test_the_rate_is_set_in_every_group():
    optimizer = make_optimizer(nn.Linear(3, 2), learning_rate=0.1, weight_decay=0.3)
    set_learning_rate(optimizer, 0.02)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.02]


def rates(schedule, ratio=0.2):
    return [learning_rate_factor(step, num_steps=10, warmup_ratio=ratio, schedule=schedule) for step in range(10)]


def test_cosine_falls_along_half_a_wave():
    expected = [1 / 3, 2 / 3, *((1 + math.cos(math.pi * step / 8)) / 2 for step in range(8))]
    assert rates("cosine") == pytest.approx(expected)


def test_constant_stays_at_the_peak():
    assert rates("constant") == pytest.approx([1 / 3, 2 / 3, *[1.0] * 8])


def test_wsd_stays_and_falls_in_the_last_fifth():
    assert rates("wsd") == pytest.approx([1 / 3, 2 / 3, *[1.0] * 7, 0.5])
    assert learning_rate_factor(95, num_steps=100, warmup_ratio=0.1, schedule="wsd") == pytest.approx(5 / 20)


class Layered(nn.Module):
    """An embedding, two numbered layers and a head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.model = nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(4, 4) for _ in range(2))})
        self.head = nn.Linear(4, 3)


def moved(kind, gradient):
    module = Layered()
    before = {name: one.detach().clone() for name, one in module.named_parameters()}
    optimizer = make_optimizer(module, learning_rate=0.1, weight_decay=0.0, kind=kind)
    for one in module.parameters():
        one.grad = gradient(one)
    optimizer.step()
    return {name: one.detach() - before[name] for name, one in module.named_parameters()}


def test_muon_moves_the_matrices_of_layers_in_orthogonal_steps_and_all_else_as_adamw_does():
    torch.manual_seed(1)
    gradients = {}
    ours = moved("muon", lambda one: gradients.setdefault(len(gradients), torch.randn_like(one)))
    given = iter(gradients.values())
    theirs = moved("adamw", lambda _: next(given))
    for name, step in ours.items():
        if name.startswith("model.layers") and step.ndim == 2:
            sizes = torch.linalg.svdvals(step) / (0.1 * 0.2 * 2)
            # Few iterations bring singular values near 1, and not to it.
            assert 0.6 < float(sizes.min()) <= float(sizes.max()) < 1.3
        else:
            torch.testing.assert_close(step, theirs[name])


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3)])
def test_an_orthogonal_matrix_has_the_directions_of_the_one_it_is_near_to(shape):
    torch.manual_seed(2)
    matrix = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix)
    assert found.shape == matrix.shape
    assert float((found * (left @ right)).sum() / min(shape)) > 0.8
