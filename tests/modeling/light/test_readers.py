"""The reader from scratch: it sees what question and passage have in common, and no result depends on padding."""

import torch

from yanmo.modeling.light.light_models import build_light_model
from yanmo.modeling.light.readers import _told

SIZES = {
    "family": "bilstm",
    "reads_passages": True,
    "token_types": True,
    "vocab_size": 20,
    "num_classes": 2,
    "embedding_size": 6,
    "num_buckets": 64,
    "ngram_size": 4,
    "hidden_size": 5,
    "dropout": 0.1,
    "token_dropout": 0.1,
    "ngram_dropout": 0.1,
}


def test_a_token_is_told_what_the_other_text_has():
    # [CLS] 5 6 [SEP] 9 5 6 7 5 [SEP]
    ids = torch.tensor([[2, 5, 6, 3, 9, 5, 6, 7, 5, 4]])
    is_passage = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1, 1]]) == 1
    across = is_passage[:, :, None] != is_passage[:, None, :]
    told = _told(ids, across, is_passage)[0]
    assert told[:, 0].tolist() == [0, 1, 1, 0, 0, 1, 1, 0, 1, 0]
    # 6 with the 5 before it stands in both.
    assert told[:, 1].tolist() == [0, 0, 1, 0, 0, 0, 1, 0, 0, 0]
    assert told[:, 3].tolist() == is_passage[0].float().tolist()


def test_no_score_depends_on_padding_or_on_the_other_rows():
    torch.manual_seed(0)
    module = build_light_model(SIZES).eval()
    ids = torch.tensor([[2, 5, 6, 3, 9, 5, 4], [2, 7, 3, 8, 4, 0, 0]])
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0]])
    both = module(ids, mask, types, torch.tensor([0, 4, 5, 7, 10]))
    alone = module(ids[1:, :5], mask[1:, :5], types[1:, :5], torch.tensor([0, 3]))
    assert both.shape == (5, 2)
    assert torch.allclose(both[3:], alone, atol=1e-5)


def test_a_question_that_stands_alone_has_finite_scores():
    module = build_light_model(SIZES).eval()
    ids, ones = torch.tensor([[2, 3, 4]]), torch.ones(1, 3, dtype=torch.int64)
    scores = module(ids, ones, torch.zeros_like(ids), torch.tensor([0]))
    assert bool(scores.isfinite().all())
