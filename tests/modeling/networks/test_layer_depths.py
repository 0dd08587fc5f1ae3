"""Layers by their depth: who learns how fast, and who does not learn."""

import pytest
from torch import nn

from yanmo.errors import ConfigError
from yanmo.modeling.networks.layer_depths import freeze, parameter_depths
from yanmo.modeling.optimizing.optimizer import make_optimizer, set_learning_rate


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(2, 2)


class Tower(nn.Module):
    """Named as transformers names an encoder's parts."""

    def __init__(self, num_layers=3):
        super().__init__()
        self.bert = nn.ModuleDict(
            {
                "embeddings": nn.ModuleDict({"word_embeddings": nn.Embedding(5, 2)}),
                "encoder": nn.ModuleDict({"layer": nn.ModuleList(Block() for _ in range(num_layers))}),
                "pooler": nn.Linear(2, 2),
            }
        )
        self.classifier = nn.Linear(2, 2)


def test_depth_counts_from_the_head_down():
    depths = {name.removesuffix(".weight"): depth for name, depth in parameter_depths(Tower()).items()}
    assert depths["classifier"] == depths["bert.pooler"] == 0
    layers = [depths[f"bert.encoder.layer.{place}.dense"] for place in range(3)]
    assert layers == [3, 2, 1]
    assert depths["bert.embeddings.word_embeddings"] == 4


def test_each_layer_learns_with_a_share_of_the_rate_above():
    module = Tower()
    optimizer = make_optimizer(module, learning_rate=1.0, weight_decay=0.1, layer_decay=0.5)
    set_learning_rate(optimizer, 0.4)
    rates = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    by_name = {name: rates[id(one)] for name, one in module.named_parameters()}
    assert by_name["classifier.weight"] == by_name["classifier.bias"] == 0.4
    assert by_name["bert.encoder.layer.2.dense.weight"] == 0.2
    assert by_name["bert.encoder.layer.0.dense.bias"] == 0.05
    assert by_name["bert.embeddings.word_embeddings.weight"] == 0.025


@pytest.mark.parametrize(("num_frozen", "still"), [(0, 11), (1, 8), (3, 4)])
def test_frozen_are_the_embeddings_and_the_lowest_layers(num_frozen, still):
    module = Tower()
    freeze(module, num_frozen)
    learning = [name for name, one in module.named_parameters() if one.requires_grad]
    assert len(learning) == still
    assert ("bert.embeddings.word_embeddings.weight" in learning) == (num_frozen == 0)
    assert ("bert.encoder.layer.0.dense.weight" in learning) == (num_frozen == 0)
    assert ("bert.encoder.layer.2.dense.weight" in learning) == (num_frozen < 3)


def test_more_frozen_layers_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="must be at most 3 for this model. Got 4 instead"):
        freeze(Tower(), 4)


def test_a_network_without_layers_is_refused():
    with pytest.raises(ConfigError, match="Linear has no layers that can be told apart"):
        parameter_depths(nn.Linear(2, 2))
