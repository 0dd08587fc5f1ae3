"""Tokenizers that lose the tokens nobody uses: what is left is cut as before, and every number is a new one."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, processors

from yanmo.errors import ConfigError
from yanmo.text.tokenizer import SPECIAL_TOKENS, train_wordlevel, train_wordpiece
from yanmo.text.vocabulary import cut_tokenizer, used_tokens

TEXTS = ["good food good", "slow food", "好 吃"]


def tokens(tokenizer, ids):
    return [tokenizer.id_to_token(one) for one in ids.tolist()]


def test_tokens_that_occur_often_enough_in_all_columns_together_are_used_and_all_special_ones():
    tokenizer = train_wordlevel(TEXTS, 50, min_frequency=1)
    kept = used_tokens(tokenizer, [TEXTS, ["slow", "never"]], min_count=2)
    assert tokens(tokenizer, kept) == [*SPECIAL_TOKENS, "food", "good", "slow"]
    assert tokens(tokenizer, used_tokens(tokenizer, [TEXTS[:1]], min_count=1)) == [*SPECIAL_TOKENS, "food", "good"]
    assert tokens(tokenizer, used_tokens(tokenizer, [], min_count=1)) == list(SPECIAL_TOKENS)


def test_an_unknown_token_that_is_not_special_stays_and_one_that_is_not_there_is_no_matter():
    plain = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    assert used_tokens(plain, [["b"]], min_count=1).tolist() == [1, 2]
    without = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="?"))
    assert used_tokens(without, [["b"]], min_count=1).tolist() == [1]


@pytest.mark.parametrize("train", [train_wordlevel, train_wordpiece])
def test_what_is_kept_is_cut_into_the_same_tokens_with_new_numbers(train):
    tokenizer = train(["bad old words", *TEXTS] * 2, 60)
    kept = used_tokens(tokenizer, [TEXTS], min_count=1)
    small = cut_tokenizer(tokenizer, kept)
    assert small.get_vocab_size() == len(kept) < tokenizer.get_vocab_size()
    for text in TEXTS:
        ours, theirs = small.encode(text, "food"), tokenizer.encode(text, "food")
        assert ours.tokens == theirs.tokens
        assert kept[ours.ids].tolist() == theirs.ids
        assert ours.type_ids == theirs.type_ids


def test_every_form_of_post_processor_gets_the_new_numbers():
    vocab = {"a": 0, "b": 1, "[SEP]": 2, "[CLS]": 3, "[UNK]": 4}
    bert = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 3))
    for processor in (
        bert,
        processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 3), trim_offsets=False, add_prefix_space=False),
        processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[SEP]", 2), ("[CLS]", 3)]
        ),
        processors.Sequence([bert]),
        None,
    ):
        tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
        tokenizer.add_special_tokens(["[SEP]", "[CLS]", "[UNK]"])
        if processor is not None:
            tokenizer.post_processor = processor
        small = cut_tokenizer(tokenizer, np.array([1, 2, 3, 4]))
        assert small.get_vocab() == {"b": 0, "[SEP]": 1, "[CLS]": 2, "[UNK]": 3}
        assert {token.content: place for place, token in small.get_added_tokens_decoder().items()} == {
            "[SEP]": 1,
            "[CLS]": 2,
            "[UNK]": 3,
        }
        assert small.encode("b").ids == ([2, 0, 1] if processor is not None else [0])


def test_another_kind_of_tokenizer_is_refused():
    with pytest.raises(ConfigError) as caught:
        cut_tokenizer(Tokenizer(models.Unigram([("<unk>", 0.0)], unk_id=0)), np.array([0]))
    assert str(caught.value) == (
        "The 'vocabulary' parameter of prune needs a tokenizer of the kind WordPiece or WordLevel. Got Unigram "
        "instead.\nhint: Leave vocabulary out."
    )
