"""Low-rank adapters: what learns, and that nothing of them is left."""

import sys

import pytest
import torch

from yanmo.answers.links import SOFTMAX
from yanmo.modeling.networks import encoders
from yanmo.modeling.networks.trainable_networks import encoder_trainable, make_trainable
from yanmo.modeling.pretrained.checkpoint_tokenizer import wrap_tokenizer
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.text.inputs import Inputs
from yanmo.text.tokenizer import train_wordpiece

pytest.importorskip("peft", reason="the extra lora is not installed")

from yanmo.errors import ConfigError, MissingExtraError
from yanmo.modeling.networks import adapters


@pytest.fixture
def module():
    tokenizer = train_wordpiece(["the parcel is late", "味道很好"] * 5, 40)
    torch.manual_seed(1)
    return encoders.build_encoder(
        resolve("bert-2x32"), tokenizer, labels=["a", "b"], link=SOFTMAX, max_length=16, dropout=0.0
    ).eval()


IDS = {"input_ids": torch.arange(5, 13).view(2, 4), "attention_mask": torch.ones(2, 4, dtype=torch.int64)}


def test_only_the_adapters_and_the_head_learn(module):
    adapters.add_adapters(module, 3)
    learning = {name: one.shape for name, one in module.named_parameters() if one.requires_grad}
    heads = {name for name in learning if name.startswith(("classifier", "bert.pooler"))}
    assert {name.rpartition(".")[0] for name in heads} == {"classifier", "bert.pooler.dense"}
    assert all("lora_" in name for name in learning.keys() - heads)
    assert {3} == {min(shape) for name, shape in learning.items() if "lora_" in name}
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in learning.keys() - heads} == {"query", "value"}


def test_frozen_layers_have_no_adapters_that_learn(module):
    tokenizer = train_wordpiece(["the parcel is late"] * 5, 40)
    settings = NetworkSettings(["a", "b"], SOFTMAX, frozen_layers=1, lora_rank=3)
    encoder_trainable(module, wrap_tokenizer(tokenizer, max_length=16), tokenizer, settings, 16)
    learning = {name for name, one in module.named_parameters() if one.requires_grad}
    assert any(".layer.1." in name for name in learning)
    assert not any(".layer.0." in name for name in learning)


def test_where_several_masks_need_a_network_without_adapters_the_hint_says_so():
    settings = NetworkSettings(["a", "b"], SOFTMAX, max_length=16, vocab_size=40, lora_rank=3, multi_sample_dropout=2)
    with pytest.raises(ConfigError, match="'multi_sample_dropout' parameter .* does not suit Electra") as caught:
        make_trainable(resolve("electra-1x32"), Inputs((["the parcel is late"] * 5,)), settings)
    assert "without lora_rank and sharding" in caught.value.hint


def test_merging_leaves_a_plain_network_with_the_same_scores(module):
    before, names = encoders.score_encoder(module, IDS), set(module.state_dict())
    tuner = adapters.add_adapters(module, 3)
    torch.testing.assert_close(encoders.score_encoder(module, IDS), before)
    with torch.no_grad():
        for name, one in module.named_parameters():
            if "lora_" in name:
                one.normal_()
    changed = encoders.score_encoder(module, IDS)
    assert not torch.allclose(changed, before)
    adapters.merge_adapters(tuner)
    assert set(module.state_dict()) == names
    torch.testing.assert_close(encoders.score_encoder(module, IDS), changed, atol=1e-4, rtol=1e-4)


def test_without_peft_it_is_said_what_to_install(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"needs the package 'peft'"):
        adapters.add_adapters(module, 3)
