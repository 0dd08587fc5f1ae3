"""Embeddings that are moved for one backward pass and come back."""

import pytest
import torch
from torch import nn

from yanmo.errors import ConfigError
from yanmo.modeling.light.light_models import build_light_model
from yanmo.modeling.loop.adversary import embedding_weight, moved

SIZES = {"num_classes": 2, "embedding_size": 4, "hidden_size": 3, "dropout": 0.0}
BILSTM = {"family": "bilstm", "vocab_size": 9, **SIZES}
NGRAM = {"family": "ngram", "num_buckets": 16, "ngram_dropout": 0.0, **SIZES}


def test_the_move_has_the_gradients_direction_and_the_given_length():
    weight = nn.Parameter(torch.tensor([[1.0, 2.0], [0.1, 0.2]]))
    before, gradient = weight.detach().clone(), torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    with moved(weight, gradient, 0.5):
        torch.testing.assert_close(weight.detach() - before, torch.tensor([[0.3, 0.0], [0.0, 0.4]]))
    assert torch.equal(weight.detach(), before)


def test_a_gradient_of_zero_moves_nothing():
    weight = nn.Parameter(torch.ones(2, 2))
    with moved(weight, torch.zeros(2, 2), 0.5):
        assert torch.equal(weight.detach(), torch.ones(2, 2))


def test_the_weights_come_back_bit_for_bit_after_an_error():
    weight = nn.Parameter(torch.rand(50, 8) * 1e-3)
    before = weight.detach().clone()
    with pytest.raises(ZeroDivisionError), moved(weight, torch.rand(50, 8), 1.0):
        raise ZeroDivisionError
    assert torch.equal(weight.detach(), before)


@pytest.mark.parametrize("architecture", [BILSTM, NGRAM], ids=["bilstm", "ngram"])
def test_light_models_have_embeddings_to_move(architecture):
    assert embedding_weight(build_light_model(architecture)).shape[1] == 4


def test_embeddings_that_do_not_learn_are_refused():
    module = build_light_model(BILSTM)
    module.embedding.weight.requires_grad_(False)
    with pytest.raises(ConfigError, match="'fgm_epsilon' parameter of train needs embeddings that learn"):
        embedding_weight(module)
