"""What networks learn from plain text: the decoder at hidden places only, losses, shared embeddings."""

import pytest
import torch
from torch.nn import functional

from yanmo.errors import ConfigError
from yanmo.modeling.masking import Masking, mask_tokens
from yanmo.modeling.pretrainees import REPLACED_WEIGHT, loss_of, make_pretrainee, measure_scores
from yanmo.models import resolve
from yanmo.text.tokenizer import train_wordpiece

TOKENIZER = train_wordpiece(["我爱北京天安门 hello world"] * 3, 60, min_frequency=1)
MASKING = Masking(0.4, 4, TOKENIZER.get_vocab_size(), (0, 1, 2, 3, 4))


def make(name, objective="mlm"):
    torch.manual_seed(1)
    return make_pretrainee(
        resolve(name),
        TOKENIZER,
        objective=objective,
        masking=MASKING,
        max_length=16,
        dropout=0.0,
        seed=1,
        offline=True,
    )


def make_batch():
    generator = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(5, TOKENIZER.get_vocab_size(), (4, 12), generator=generator)
    mask_BT = torch.ones_like(ids_BT)
    mask_BT[1, 6:] = 0
    return {"input_ids": ids_BT, "attention_mask": mask_BT, "continues": torch.zeros_like(ids_BT).bool()}


@pytest.mark.parametrize("name", ["bert-1x32", "roberta-1x32", "albert-1x32", "electra-1x32"])
def test_the_loss_is_that_of_the_stock_class_at_the_hidden_places(name):
    made, batch = make(name), make_batch()
    torch.manual_seed(5)
    scores_BS = made.score(made.module, batch)
    torch.manual_seed(5)
    masked = mask_tokens(batch, MASKING)
    logits_BTV = made.module(input_ids=masked.input_ids_BT, attention_mask=batch["attention_mask"]).logits
    targets_M = batch["input_ids"][masked.hidden_BT]
    expected = functional.cross_entropy(logits_BTV[masked.hidden_BT], targets_M)
    assert loss_of(scores_BS, made.weights).item() == pytest.approx(expected.item(), rel=1e-5)
    assert scores_BS[:, 2].tolist() == masked.hidden_BT.sum(1).tolist()
    assert scores_BS[:, -1].tolist() == batch["attention_mask"].sum(1).tolist()
    measured = measure_scores(scores_BS.detach().numpy())
    right = (logits_BTV[masked.hidden_BT].argmax(1) == targets_M).float().mean()
    assert measured["masked_accuracy"] == pytest.approx(right.item(), abs=1e-6)


def test_validation_hides_the_same_words_each_time_and_training_does_not():
    made, batch = make("bert-1x32"), make_batch()
    assert not torch.equal(made.score(made.module, batch), made.score(made.module, batch))
    made.module.eval()
    assert torch.equal(made.score(made.module, batch), made.score(made.module, batch))


def test_replaced_tokens_train_both_networks_and_the_shared_embeddings():
    made, batch = make("electra-1x32", "rtd"), make_batch()
    scores_BS = made.score(made.module, batch)
    loss = loss_of(scores_BS, made.weights)
    parts = scores_BS.sum(0)
    assert loss.item() == pytest.approx((parts[0] / parts[2] + REPLACED_WEIGHT * parts[3] / parts[5]).item(), rel=1e-5)
    assert made.weights == (1.0, REPLACED_WEIGHT)
    loss.backward()
    networks = made.module
    shared = networks.generator.electra.embeddings.word_embeddings.weight
    assert shared is networks.discriminator.electra.embeddings.word_embeddings.weight
    assert shared is networks.generator.generator_lm_head.weight
    for part in (networks.generator.electra.encoder, networks.discriminator.electra.encoder):
        assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in part.parameters() if one.ndim > 1)
    assert made.encoder is networks.discriminator
    assert networks.generator.config.hidden_size == 8


def test_replaced_tokens_are_for_electra():
    with pytest.raises(ConfigError, match="must be mlm for bert-1x32. Got 'rtd'"):
        make("bert-1x32", "rtd")
