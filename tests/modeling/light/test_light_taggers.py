"""The light taggers: a row of scores a unit, and no result that depends on padding or on the batch."""

import pytest
import torch

from yanmo.modeling.light.light_models import build_light_model

SIZES = {"per_unit": True, "vocab_size": 30, "num_classes": 3, "embedding_size": 8, "num_buckets": 64, "ngram_size": 4}
ARCHITECTURES = [
    {
        **SIZES,
        "family": "textcnn",
        "kernel_sizes": [1, 3],
        "num_filters": 5,
        "embedding_dropout": 0.1,
        "ngram_dropout": 0.2,
        "dropout": 0.4,
    },
    {**SIZES, "family": "bilstm", "hidden_size": 6, "dropout": 0.4, "ngram_dropout": 0.2, "token_dropout": 0.1},
]
ROWS = [[4], [5, 6, 7], [8, 9, 10, 11, 12, 13, 14]]


@pytest.fixture(params=ARCHITECTURES, ids=lambda one: one["family"])
def module(request):
    torch.manual_seed(0)
    return build_light_model(request.param).eval()


def scores(module, rows, width):
    ids_BT = torch.zeros(len(rows), width, dtype=torch.int64)
    for place, row in enumerate(rows):
        ids_BT[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
    mask_BT = (ids_BT > 0).long()
    with torch.inference_mode():
        return module(ids_BT, mask_BT, mask_BT.flatten().nonzero()[:, 0])


def test_padding_and_neighbours_change_nothing(module):
    together_UC = scores(module, ROWS, 7)
    assert together_UC.shape == (11, 3)
    torch.testing.assert_close(scores(module, ROWS, 19), together_UC, atol=1e-6, rtol=0)
    alone_UC = torch.cat([scores(module, [row], len(row)) for row in ROWS])
    torch.testing.assert_close(alone_UC, together_UC, atol=1e-6, rtol=0)


def test_a_unit_is_read_with_what_stands_beside_it(module):
    one_UC, other_UC = scores(module, [[4, 5, 6]], 3), scores(module, [[7, 5, 6]], 3)
    assert not torch.allclose(one_UC[1], other_UC[1], atol=1e-4)
    reversed_UC = scores(module, [[6, 5, 4]], 3)
    assert not torch.allclose(one_UC[1], reversed_UC[1], atol=1e-4)


def test_a_batch_without_units_has_no_scores(module):
    with torch.inference_mode():
        ids_BT = torch.ones(1, 2, dtype=torch.int64)
        assert module(ids_BT, ids_BT, torch.zeros(0, dtype=torch.int64)).shape == (0, 3)
