"""A masked language model replaces some tokens of a text and leaves the others where they are."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertForSequenceClassification

from yanmo.errors import ModelError
from yanmo.modeling.runs.infilling import Infiller
from yanmo.text.tokenizer import SPECIAL_TOKENS, train_wordpiece

TEXTS = ["送得太慢了，菜都凉了", "great food, fast delivery", "好", ""]


@pytest.fixture(scope="module")
def folder(make_masked_lm, tmp_path_factory):
    return make_masked_lm(tmp_path_factory.mktemp("masked"), train_wordpiece(TEXTS * 2, 100))


def byte_tokenizer(*, trim_offsets):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    return tokenizer


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


@pytest.mark.parametrize("trim_offsets", [True, False])
def test_tokens_of_bytes_go_into_a_text_as_characters(make_masked_lm, trim_offsets, tmp_path):
    infiller = Infiller(make_masked_lm(tmp_path, byte_tokenizer(trim_offsets=trim_offsets)))
    texts = TEXTS * 16
    filled = infiller.fill(texts, np.random.default_rng(5))
    assert sum(one != other for one, other in zip(filled, texts, strict=True)) > 16
    known = set("".join(TEXTS))
    assert all(character in known or character.isascii() for text in filled for character in text)
    assert [text.count(" ") for text in filled] == [text.count(" ") for text in texts]


def test_a_folder_without_such_a_model_is_refused(folder, tmp_path):
    with pytest.raises(ModelError, match="cannot be opened"):
        Infiller(tmp_path)
    config = BertForSequenceClassification.config_class.from_pretrained(folder)
    for file in folder.glob("token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no masked language model: its weights lack cls\.predictions"):
        Infiller(tmp_path)
