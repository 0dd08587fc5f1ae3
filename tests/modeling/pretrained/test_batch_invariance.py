"""What a text is answered must not depend on what else is in the batch: 15 families, each as it comes."""

import logging

import numpy as np
import pytest
import torch
from families import FAMILIES, TEXTS, make_checkpoint

from yanmo.answers.links import SOFTMAX
from yanmo.errors import ModelError
from yanmo.modeling.networks.trainable_networks import make_trainable
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import resolve
from yanmo.text.inputs import Inputs

SETTINGS = NetworkSettings(["bad", "good", "other"], SOFTMAX, max_length=32)


def logits_of(trainable, rows):
    trainable.module.eval()
    with torch.inference_mode():
        return trainable.score(trainable.module, trainable.encode(Inputs((TEXTS,))).collate(np.array(rows)))


@pytest.fixture
def make(tmp_path):
    def build(family):
        make_checkpoint(family, tmp_path / family, labels=SETTINGS.labels)
        return make_trainable(resolve(str(tmp_path / family)), Inputs((TEXTS,)), SETTINGS)

    return build


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"xlnet"}))
def test_a_text_is_answered_alike_alone_and_in_a_batch(family, make, caplog):
    with caplog.at_level(logging.INFO):
        trainable = make(family)
    rows = list(range(len(TEXTS)))
    alone_BC = torch.cat([logits_of(trainable, [row]) for row in rows])
    torch.testing.assert_close(logits_of(trainable, rows), alone_BC, atol=2e-5, rtol=0)
    assert ("padding token's embedding is zero now" in caplog.text) == (family == "mobilebert")


def test_a_network_that_reads_the_last_place_of_a_row_is_refused(make):
    with pytest.raises(
        ModelError, match=r"xlnet \(XLNetForSequenceClassification\) answers a text otherwise"
    ) as caught:
        make("xlnet")
    assert "another family" in caught.value.hint


def test_training_keeps_the_silenced_padding_at_zero(make):
    module = make("mobilebert").module.train()
    place = module.config.pad_token_id
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    ids_BT = torch.tensor([[2, 7, 8, 3, place, place]])
    module(input_ids=ids_BT, attention_mask=(ids_BT != place).long(), labels=torch.tensor([1])).loss.backward()
    optimizer.step()
    weight_VD = module.get_input_embeddings().weight
    assert not weight_VD[place].any()
    assert weight_VD[7].any()
