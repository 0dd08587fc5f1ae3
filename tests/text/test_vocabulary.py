"""Tokenizers that lose the tokens nobody uses: what is left is cut as before, and every number is a new one."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

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


def test_a_tokenizer_that_marks_the_ends_of_words_is_refused():
    marked = Tokenizer(models.BPE({"a</w>": 0}, [], end_of_word_suffix="</w>"))
    with pytest.raises(ConfigError, match=r"marks the parts of words by '</w>'\.") as caught:
        cut_tokenizer(marked, np.array([0]))
    assert caught.value.hint == "Leave vocabulary out."


def test_a_tokenizer_that_would_be_read_back_with_other_numbers_is_refused():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 5}, unk_token="a"))
    tokenizer.add_special_tokens(["<s>"])
    assert tokenizer.token_to_id("<s>") == 2
    with pytest.raises(ConfigError, match="cannot give the token '<s>' a new number"):
        cut_tokenizer(tokenizer, np.array([0, 2, 5]))


def byte_pairs(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>"])
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def pieces(texts, **options):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=900, unk_token="<unk>", special_tokens=["<s>", "<unk>"], show_progress=False, **options
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


WORDS = [
    "parcel",
    "late",
    "refund",
    "address",
    "repeat",
    "delivered",
    "deliver",
    "liver",
    "addressed",
    "latest",
    "年年",
    "好",
]
READ = st.lists(
    st.lists(st.sampled_from(WORDS) | st.text(st.sampled_from("adelrstv年好 é"), max_size=8), min_size=1).map(" ".join),
    min_size=1,
    max_size=8,
)


@functools.cache
def trained(kind):
    generator = np.random.default_rng(0)
    texts = [
        " ".join(generator.choice(WORDS, 8)) + "".join(generator.choice(list("adelrstv年好"), 9)) for _ in range(300)
    ]
    return {"byte pairs": byte_pairs, "pieces": pieces}[kind](texts)


@pytest.mark.parametrize("kind", ["byte pairs", "pieces"])
@given(texts=READ)
@settings(max_examples=60, deadline=None)
def test_texts_whose_tokens_stay_are_cut_as_before_whatever_they_are_made_of(kind, texts):
    tokenizer = trained(kind)
    kept = used_tokens(tokenizer, [texts], min_count=1)
    small = cut_tokenizer(tokenizer, kept)
    assert small.get_vocab_size() == len(kept) <= tokenizer.get_vocab_size()
    # Parts of the texts, too, as long as the tokens are all there.
    for text in texts:
        ours, theirs = small.encode(text), tokenizer.encode(text)
        assert ours.tokens == theirs.tokens
        assert kept[ours.ids].tolist() == theirs.ids
        assert ours.offsets == theirs.offsets


def test_byte_pairs_can_still_say_everything_and_merges_that_lead_nowhere_are_gone():
    tokenizer = trained("byte pairs")
    small = cut_tokenizer(tokenizer, used_tokens(tokenizer, [["delivered late"]], min_count=1))
    assert 256 < small.get_vocab_size() < 300 < tokenizer.get_vocab_size()
    text = "Größe 中文 delivered"
    decoder = decoders.ByteLevel()
    assert decoder.decode(small.encode(text).tokens) == text
    assert small.encode("delivered").tokens == tokenizer.encode("delivered").tokens


def test_the_least_likely_piece_stays_so_that_unknown_characters_are_as_unlikely_as_before():
    listed = [("<unk>", 0.0), ("ab", -6.0), ("c", -6.0), ("bc", -1.0), ("a", -14.0), ("x", -20.0), ("b", -7.0)]
    tokenizer = Tokenizer(models.Unigram(listed, unk_id=0))
    assert tokenizer.encode("abc").tokens == ["ab", "c"]
    kept = used_tokens(tokenizer, [["abc"]], min_count=1)
    assert [tokenizer.id_to_token(one) for one in kept] == [token for token, _ in listed if token != "bc"]
    assert cut_tokenizer(tokenizer, kept).encode("abc").tokens == ["ab", "c"]


def test_tokens_behind_a_length_that_a_tokenizer_was_saved_with_are_used_too():
    tokenizer = train_wordlevel(TEXTS, 50, min_frequency=1)
    tokenizer.enable_truncation(1)
    kept = used_tokens(tokenizer, [["good food slow"]], min_count=1)
    assert tokens(tokenizer, kept) == [*SPECIAL_TOKENS, "food", "good", "slow"]
    assert tokenizer.truncation["max_length"] == 1
