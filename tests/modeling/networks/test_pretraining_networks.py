"""What networks learn from plain text: the decoder at hidden places only, losses, shared embeddings."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from yanmo.arrays import Ragged
from yanmo.modeling.features.corpus import CorpusRows
from yanmo.modeling.features.masking import MaskedRows, Masking
from yanmo.modeling.networks import pretraining_networks
from yanmo.modeling.networks.pretraining_networks import REPLACED_WEIGHT, make_pretrainee
from yanmo.modeling.objectives.masked_tokens import MaskedTokens, measure_outputs
from yanmo.models import resolve
from yanmo.text.tokenizer import train_wordpiece

TOKENIZER = train_wordpiece(["我爱北京天安门 hello world"] * 3, 60, min_frequency=1)
NUM_IDS = TOKENIZER.get_vocab_size()
MASKING = Masking(0.4, 4, NUM_IDS, (0, 1, 2, 3, 4))
OFFSETS = np.array([0, 12, 18, 30, 42])
ROWS = CorpusRows(Ragged(np.random.default_rng(1).integers(5, NUM_IDS, 42, dtype=np.int32), OFFSETS), np.arange(4))


def make(name, objective="mlm"):
    torch.manual_seed(1)
    return make_pretrainee(resolve(name), TOKENIZER, objective=objective, max_length=16, dropout=0.0, offline=True)


def make_batch(masking=MASKING):
    return MaskedRows(ROWS, masking, (1,), pad_id=0).collate(np.arange(4))


def decode_plainly(network, batch):
    """Return transformers' logits at the hidden places."""
    logits_BTV = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits_BTV.flatten(0, 1)[batch["hidden"]]


def gradients(module, loss):
    module.zero_grad()
    loss.backward()
    return {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}


def assert_alike(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, gradient in theirs.items():
        torch.testing.assert_close(ours[key], gradient, atol=1e-6, rtol=1e-4, msg=key)


@pytest.mark.parametrize("name", ["bert-1x32", "roberta-1x32", "albert-1x32", "electra-1x32"])
def test_loss_and_gradients_are_those_of_the_stock_class_at_the_hidden_places(name):
    made, batch = make(name), make_batch()
    scores_BS, logits_MV = made.score(made.module, batch), decode_plainly(made.module, batch)
    expected = functional.cross_entropy(logits_MV, batch["answers"])
    questions_BK = torch.full((4, 1), len(batch["answers"]) / 4)
    loss = MaskedTokens(made.weights).loss(scores_BS, {"questions": questions_BK})
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert scores_BS[:, 2].tolist() == torch.bincount(batch["hidden"] // 12, minlength=4).tolist()
    assert scores_BS[:, -1].tolist() == [12, 6, 12, 12]
    measured = measure_outputs(scores_BS.detach().numpy())
    right = (logits_MV.argmax(1) == batch["answers"]).float().mean()
    assert measured["masked_accuracy"] == pytest.approx(right.item(), abs=1e-6)
    assert measured["masked_loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert_alike(gradients(made.module, loss), gradients(made.module, expected))


def test_replaced_tokens_train_both_networks_and_the_shared_embeddings():
    made, batch = make("electra-1x32", "rtd"), make_batch()
    scores_BS = made.score(made.module, batch)
    sums = scores_BS.detach().sum(0)
    loss = MaskedTokens(made.weights).loss(scores_BS, {"questions": sums[[2, 5]].expand(4, 2) / 4})
    assert loss.item() == pytest.approx((sums[0] / sums[2] + REPLACED_WEIGHT * sums[3] / sums[5]).item(), rel=1e-5)
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


def drawn_plainly(networks, batch):
    """Return the ids_BT with what the generator puts at the hidden places, by a loop over them."""
    probabilities_MV = decode_plainly(networks.generator, batch).softmax(1).detach().numpy()
    chances = batch["chances"].numpy()
    drawn = [np.flatnonzero(np.cumsum(one) > chance)[0] for one, chance in zip(probabilities_MV, chances, strict=True)]
    filled = batch["input_ids"].flatten().clone()
    filled[batch["hidden"]] = torch.tensor(drawn)
    return filled.view_as(batch["input_ids"])


def test_what_finds_replaced_tokens_has_the_loss_and_the_gradients_of_the_stock_class():
    made, batch = make("electra-2x32", "rtd"), make_batch()
    scores_BS = made.score(made.module, batch)
    filled_BT, stock = drawn_plainly(made.module, batch), made.module.discriminator
    true_BT = batch["input_ids"].flatten().scatter(0, batch["hidden"], batch["answers"]).view(4, 12)
    labels_BT = (filled_BT != true_BT).long()
    assert labels_BT.any()
    plain = stock(input_ids=filled_BT, attention_mask=batch["attention_mask"], labels=labels_BT)
    ours = scores_BS[:, 3].sum() / scores_BS[:, 5].sum()
    assert ours.item() == pytest.approx(plain.loss.item(), rel=1e-5)
    is_token_BT = batch["attention_mask"].bool()
    right = ((plain.logits > 0).long() == labels_BT)[is_token_BT].sum()
    assert scores_BS[:, 4].sum().item() == right.item()
    assert_alike(gradients(stock, ours), gradients(stock, plain.loss))


def test_a_generator_draws_each_token_as_often_as_it_thinks_it_likely():
    logits_V = torch.tensor([0.0, 2.0, -1.0, 1.0])
    chances_M = torch.from_numpy(np.random.default_rng(1).random(20_000, dtype=np.float32))
    drawn_M = pretraining_networks._draw(logits_V.expand(len(chances_M), 4), chances_M)
    shares_V = torch.bincount(drawn_M, minlength=4) / len(drawn_M)
    torch.testing.assert_close(shares_V, logits_V.softmax(0), atol=0.01, rtol=0)
    assert pretraining_networks._draw(logits_V.expand(2, 4), torch.tensor([0.0, 1.0])).tolist() == [0, 3]


@pytest.mark.parametrize(("name", "objective"), [("bert-1x32", "mlm"), ("electra-1x32", "rtd")])
def test_a_batch_in_which_nothing_is_hidden_has_a_score(name, objective):
    made, batch = make(name, objective), make_batch(Masking(0.0, 4, NUM_IDS, ()))
    scores_BS = made.score(made.module, batch)
    assert not scores_BS[:, :3].any()
    assert scores_BS[:, -1].tolist() == [12, 6, 12, 12]
