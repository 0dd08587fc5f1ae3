"""Masking: the share, the 80 / 10 / 10, whole words, and what is never hidden."""

import pytest
import torch

from yanmo.modeling.masking import Masking, mask_tokens

MASK, NUM_IDS, SPECIAL = 4, 1000, (0, 1, 2, 3, 4)
MASKING = Masking(ratio=0.3, mask_id=MASK, num_ids=NUM_IDS, special_ids=SPECIAL)


def make_batch(num_rows=200, num_tokens=100, *, word_length=1):
    generator = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(5, NUM_IDS, (num_rows, num_tokens), generator=generator)
    ids_BT[:, 0], ids_BT[:, -1] = 2, 3
    places_T = torch.arange(num_tokens)
    continues_BT = ((places_T - 1) % word_length > 0).expand(num_rows, -1).clone()
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[0, 50:] = 0
    return {"input_ids": ids_BT, "attention_mask": mask_BT, "continues": continues_BT}


@pytest.mark.parametrize("ratio", [0.15, 0.4])
def test_the_share_of_hidden_tokens_is_the_ratio(ratio):
    batch = make_batch()
    masked = mask_tokens(batch, Masking(ratio, MASK, NUM_IDS, SPECIAL), torch.Generator().manual_seed(2))
    assert masked.hidden_BT[:, 1:-1].float().mean().item() == pytest.approx(ratio, abs=0.01)


def test_special_tokens_and_padding_are_never_hidden():
    batch = make_batch()
    hidden_BT = mask_tokens(batch, MASKING).hidden_BT
    assert not hidden_BT[:, [0, -1]].any()
    assert not hidden_BT[0, 50:].any()


def test_of_the_hidden_tokens_eighty_percent_are_masks_ten_random_ten_kept():
    batch = make_batch()
    masked = mask_tokens(batch, MASKING, torch.Generator().manual_seed(3))
    read_M, true_M = masked.input_ids_BT[masked.hidden_BT], batch["input_ids"][masked.hidden_BT]
    assert (read_M == MASK).float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (read_M == true_M).float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(masked.input_ids_BT[~masked.hidden_BT], batch["input_ids"][~masked.hidden_BT])


def test_plain_masking_hides_all():
    masked = mask_tokens(make_batch(), Masking(0.3, MASK, NUM_IDS, SPECIAL, keeps_some=False))
    assert (masked.input_ids_BT[masked.hidden_BT] == MASK).all()


def test_a_word_is_hidden_as_a_whole():
    hidden_BT = mask_tokens(make_batch(word_length=2), MASKING).hidden_BT[1:, 1:-1]
    first, second = hidden_BT[:, 0::2], hidden_BT[:, 1::2]
    assert torch.equal(first, second)
    assert first.float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_every_call_hides_other_words():
    batch = make_batch()
    assert not torch.equal(mask_tokens(batch, MASKING).hidden_BT, mask_tokens(batch, MASKING).hidden_BT)
