"""Steps in proportion to the size of what they move."""

import pytest
import torch

from yanmo.modeling.optimizing.scaled_adamw import ScaledAdamW

OPTIONS = {"lr": 0.01, "weight_decay": 0.0, "fused": True}


def moved(kind, size, num_steps=3):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(6, 5, generator=generator)
    start *= size / start.norm() * 30**0.5
    parameter = torch.nn.Parameter(start.clone())
    optimizer = kind([parameter], **OPTIONS)
    for _ in range(num_steps):
        parameter.grad = torch.randn(6, 5, generator=generator)
        optimizer.step()
    return start, parameter.detach(), optimizer


def test_weights_of_size_1_move_as_adamw_moves_them():
    (_, ours, _), (_, theirs, _) = (moved(kind, 1.0, 1) for kind in (ScaledAdamW, torch.optim.AdamW))
    assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("size", [0.01, 10.0])
def test_weights_move_in_proportion_to_their_size(size):
    (start, end, optimizer), (first, last, _) = moved(ScaledAdamW, size), moved(ScaledAdamW, 1.0)
    assert torch.allclose((end - start) / size, last - first, rtol=1e-3, atol=1e-6)
    # What others set and read is as it was.
    assert [group["lr"] for group in optimizer.param_groups] == [0.01]


def test_weights_of_0_leave_it():
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = ScaledAdamW([parameter], **OPTIONS)
    parameter.grad = torch.ones(3)
    optimizer.step()
    assert (parameter < 0).all()
