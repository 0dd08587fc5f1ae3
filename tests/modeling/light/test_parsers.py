"""The network that reads sentences for their trees: padding changes nothing, and what kind a word is does."""

import torch

from yanmo.modeling.light.light_models import build_light_model
from yanmo.modeling.light.light_sizes import SIZES

SIZES_HERE = SIZES["trees"]["bilstm"] | {"embedding_size": 8, "kind_size": 4, "hidden_size": 6, "num_layers": 2}


def network():
    torch.manual_seed(0)
    architecture = {"family": "bilstm", "vocab_size": 30, "num_kinds": 3, "num_classes": 5, "dropout": 0.3}
    return build_light_model(architecture | SIZES_HERE | {"token_types": True}).eval()


def batch(*rows, width):
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    mask, kinds, units = torch.zeros_like(ids), torch.zeros_like(ids), []
    for number, row in enumerate(rows):
        for place, (token, kind) in enumerate(row):
            ids[number, place], kinds[number, place], mask[number, place] = token, kind, 1
            units.append(number * width + place)
    return ids, mask, kinds, torch.tensor(units)


def test_padding_and_neighbors_in_the_batch_change_nothing():
    module, row = network(), [(3, 1), (4, 2), (5, 0)]
    alone = module(*batch(row, width=3))
    beside = module(*batch([(7, 1)] * 6, row, width=9))
    assert torch.allclose(alone, beside[6:], atol=1e-6)


def test_the_kind_of_one_word_is_read_at_every_word():
    module = network()
    before = module(*batch([(3, 1), (4, 2), (5, 0)], width=3))
    after = module(*batch([(3, 1), (4, 2), (5, 3)], width=3))
    assert ((before - after).abs().max(dim=1).values > 1e-6).all()


def test_the_same_numbers_are_dropped_at_all_places_of_a_text():
    module = network().train()
    states = module._dropped(torch.ones(2, 5, 40))
    assert (states == states[:, :1]).all()
    assert 0 < int((states == 0).sum()) < states.numel()
