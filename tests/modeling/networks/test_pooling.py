"""Classifiers that read the mean of the tokens: which checkpoints have one, and that a batch changes nothing."""

import json

import pytest
import torch
from families import TEXTS, make_checkpoint

from yanmo.answers.links import SOFTMAX
from yanmo.errors import ConfigError
from yanmo.modeling.networks import encoders, fast_encoder
from yanmo.modeling.networks.pooling import find_pooling
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.text.inputs import Inputs

LABELS = ["bad", "good", "other"]
FAMILIES = ["bert", "roberta", "xlm-roberta", "albert", "electra", "mpnet", "distilbert", "deberta-v2"]


def make_encoder(kind, folder, **modes):
    """An encoder without a classifier, as sentence encoders come, with the note of what their vectors are."""
    make_checkpoint(kind, folder, task="Model")
    if modes:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(
            json.dumps({f"pooling_mode_{k}": v for k, v in modes.items()})
        )
    return folder


def make(folder, pooling="auto"):
    settings = NetworkSettings(LABELS, SOFTMAX, max_length=32, pooling=pooling)
    return make_trainable(resolve(str(folder)), Inputs((TEXTS,)), settings)


def logits_of(trainable, rows):
    trainable.module.eval()
    with torch.inference_mode():
        return trainable.score(trainable.module, trainable.encode(Inputs((TEXTS,))).collate(torch.tensor(rows).numpy()))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_that_says_mean_is_read_so_and_comes_back_from_its_own_folder(family, tmp_path):
    trainable = make(make_encoder(family, tmp_path / "given", mean_tokens=True))
    rows = list(range(len(TEXTS)))
    together_BC = logits_of(trainable, rows)
    alone_BC = torch.cat([logits_of(trainable, [row]) for row in rows])
    torch.testing.assert_close(alone_BC, together_BC, atol=1e-5, rtol=0)
    (tmp_path / "saved").mkdir()
    trainable.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["pooling"] == "mean"
    module = encoders.load_folder(tmp_path / "saved")
    batch = trainable.encode(Inputs((TEXTS,))).collate(torch.tensor(rows).numpy())
    with torch.inference_mode():
        torch.testing.assert_close(module(**batch).logits, together_BC, atol=1e-5, rtol=0)


def test_the_mean_counts_every_token_and_no_padding(tmp_path):
    trainable = make(make_encoder("bert", tmp_path / "given", mean_tokens=True))
    batch = trainable.encode(Inputs((TEXTS,))).collate(torch.tensor([0, 3]).numpy())
    module = trainable.module.eval()
    with torch.inference_mode():
        states_BTD = module.bert(**batch).last_hidden_state
        length = int(batch["attention_mask"][1].sum())
        expected_C = module.classifier(states_BTD[1, :length].mean(dim=0))
        torch.testing.assert_close(module(**batch).logits[1], expected_C, atol=1e-6, rtol=0)
    assert length < states_BTD.shape[1]


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_the_lean_pass_computes_the_same_scores_and_gradients(family, tmp_path):
    trainable = make(make_encoder(family, tmp_path / "given", mean_tokens=True))
    module = trainable.module.eval()
    assert fast_encoder.is_lean(module)
    batch = trainable.encode(Inputs((TEXTS,))).collate(torch.arange(len(TEXTS)).numpy())
    found = {}
    for name, score in {"lean": fast_encoder.score, "plain": encoders.score_encoder}.items():
        module.zero_grad()
        logits_BC = score(module, batch)
        (logits_BC * torch.tensor([1.0, -2.0, 0.5])).sum().backward()
        found[name] = [logits_BC.detach(), *(one.grad for one in module.parameters() if one.grad is not None)]
    assert len(found["lean"]) == len(found["plain"])
    for ours, theirs in zip(found["lean"], found["plain"], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_classifier_of_its_own_is_read_as_it_was_trained(tmp_path):
    make_checkpoint("bert", tmp_path / "given", labels=LABELS)
    (tmp_path / "given" / "1_Pooling").mkdir()
    (tmp_path / "given" / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    trainable = make(tmp_path / "given")
    assert type(trainable.module).__name__ == "BertForSequenceClassification"
    assert not trainable.has_new_head
    asked = make(tmp_path / "given", pooling="mean")
    assert type(asked.module).__name__ == "MeanPooledBertForSequenceClassification"
    assert asked.has_new_head


@pytest.mark.parametrize(
    ("modes", "expected"),
    [({"mean_tokens": True}, "mean"), ({"cls_token": True}, "first"), ({"max_tokens": True}, None), ({}, None)],
)
def test_a_folder_tells_how_it_is_pooled_or_not(modes, expected, tmp_path):
    folder = make_encoder("bert", tmp_path / "given", **modes)
    assert find_pooling(encoders.read_config(folder), folder) == expected


def test_a_family_that_cannot_read_the_mean_says_so(tmp_path):
    folder = make_encoder("gpt2", tmp_path / "given", mean_tokens=True)
    assert type(make(folder).module).__name__ == "GPT2ForSequenceClassification"
    with pytest.raises(ConfigError, match="'pooling' parameter of train does not suit gpt2"):
        make(folder, pooling="mean")
