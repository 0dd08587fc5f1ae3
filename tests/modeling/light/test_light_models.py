"""The light networks: shapes, and that no result depends on padding or on the batch."""

import pytest
import torch

from yanmo.modeling.light.light_models import build_light_model

SIZES = {"vocab_size": 30, "num_classes": 3, "embedding_size": 8, "dropout": 0.4}
ARCHITECTURES = [
    {"family": "textcnn", **SIZES, "kernel_sizes": [1, 2, 4], "num_filters": 5, "embedding_dropout": 0.1},
    {"family": "bilstm", **SIZES, "hidden_size": 6},
]
NGRAM = {"family": "ngram", "num_buckets": 64, "num_classes": 3, "embedding_size": 8, "hidden_size": 5}
NGRAM |= {"dropout": 0.0, "ngram_dropout": 0.5}


def build_ready(architecture):
    torch.manual_seed(0)
    return build_light_model(architecture).eval()


def pad(rows, width):
    ids_BT = torch.zeros(len(rows), width, dtype=torch.int64)
    mask_BT = torch.zeros_like(ids_BT)
    for place, row in enumerate(rows):
        ids_BT[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
        mask_BT[place, : len(row)] = 1
    return ids_BT, mask_BT


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one["family"])
def test_padding_and_neighbours_change_nothing(architecture):
    module = build_ready(architecture)
    rows = [[4], [5, 6, 7], [8, 9, 10, 11, 12, 13, 14], []]
    with torch.inference_mode():
        together_BC = module(*pad(rows, 7))
        wider_BC = module(*pad(rows, 19))
        alone_BC = torch.cat([module(*pad([row], max(1, len(row)))) for row in rows])
    assert together_BC.shape == (4, 3)
    torch.testing.assert_close(wider_BC, together_BC, atol=1e-6, rtol=0)
    torch.testing.assert_close(alone_BC, together_BC, atol=1e-6, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: one["family"])
def test_the_order_of_tokens_matters(architecture):
    module = build_ready(architecture)
    with torch.inference_mode():
        one_BC, other_BC = module(*pad([[4, 5, 6]], 3)), module(*pad([[6, 5, 4]], 3))
    assert not torch.allclose(one_BC, other_BC, atol=1e-4)


def test_the_backward_lstm_reads_from_the_last_token():
    module = build_ready(ARCHITECTURES[1])
    module.forward_lstm.load_state_dict(module.backward_lstm.state_dict())
    ids_BT, mask_BT = pad([[4, 5, 6]], 5)
    seen = []
    module.backward_lstm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        module(ids_BT, mask_BT)
        expected_BTD = module.embedding(torch.tensor([[6, 5, 4, 0, 0]]))
    torch.testing.assert_close(seen[0], expected_BTD)


def test_ngrams_are_averaged_and_a_text_without_any_has_zeros():
    module = build_ready(NGRAM)
    with torch.inference_mode():
        logits_BC = module(torch.tensor([1, 2, 2]), torch.tensor([0, 0, 3]))
        mean_D = (module.embedding[1] + 2 * module.embedding[2]) / 3
        zero_C = module.out(torch.relu(module.hidden(torch.zeros(8))))
        expected_C = module.out(torch.relu(module.hidden(mean_D)))
    torch.testing.assert_close(logits_BC[0], zero_C)
    torch.testing.assert_close(logits_BC[1], expected_C)
    torch.testing.assert_close(logits_BC[2], zero_C)


def test_dropped_ngrams_stay_in_their_text():
    module = build_ready(NGRAM)
    torch.manual_seed(3)
    buckets_M = torch.arange(60)
    kept, offsets_B = module._drop_ngrams(buckets_M, torch.tensor([0, 20, 20, 45]))
    bounds = [*offsets_B.tolist(), len(kept)]
    for place, (start, stop) in enumerate([(0, 20), (20, 20), (20, 45), (45, 60)]):
        row = kept[bounds[place] : bounds[place + 1]].tolist()
        assert all(start <= value < stop for value in row)
    assert 10 < len(kept) < 50
