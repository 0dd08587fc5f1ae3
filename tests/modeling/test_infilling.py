"""A masked language model replaces some tokens of a text and leaves the others where they are."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from yanmo.errors import ModelError
from yanmo.modeling.encoders import wrap_tokenizer
from yanmo.modeling.infilling import Infiller
from yanmo.text.tokenizer import train_wordpiece

TEXTS = ["送得太慢了，菜都凉了", "great food, fast delivery", "好", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    tokenizer = train_wordpiece(TEXTS * 2, 100)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=tokenizer.get_vocab_size(), **sizes)).save_pretrained(folder)
    wrap_tokenizer(tokenizer, max_length=64).save_pretrained(folder)
    return folder


def test_some_tokens_change_and_the_same_seed_gives_the_same_texts(folder):
    infiller = Infiller(folder)
    first, second = (infiller.fill(TEXTS * 8, np.random.default_rng(5)) for _ in range(2))
    assert first == second
    changed = [one != other for one, other in zip(first, TEXTS * 8, strict=True)]
    assert 8 <= sum(changed) < 32
    assert not any("[" in text for text in first)
    kept = sum(a == b for a, b in zip(first[0], TEXTS[0], strict=False))
    assert kept >= 5
    assert first[3] == ""


def test_a_folder_without_such_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be opened"):
        Infiller(tmp_path)
