"""Tiny checkpoints of 15 families with random weights, as transformers itself writes them: for tests and benchmarks.

Their tokenizers are trained here from a few sentences, each of the kind that the family has. Nothing is downloaded.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TEXTS = [
    "the parcel is late again and nobody answers the phone",
    "很快就到了，味道不错，下次再来",
    "Why was my card charged twice? I want a refund!",
    "not bad at all, really good value",
    "I would like to change the delivery address, please.",
    "太慢了，等了一个小时，饭都凉了",
    "how do I top up my account from another bank",
    "The quick brown fox jumps over the lazy dog 3 times.",
]
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
}


@dataclass(frozen=True)
class Corpus:
    """What tokenizers are trained from, and how many tokens they may have."""

    texts: tuple[str, ...]
    vocab_size: int = 260


FEW = Corpus(tuple(TEXTS))
UNIGRAM_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<cls>", "<sep>", "<mask>", "[PAD]", "[UNK]", "[CLS]", "[SEP]")


@functools.cache
def _word_pieces(corpus: Corpus) -> dict[str, int]:
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer, learner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    learner.train_from_iterator(
        corpus.texts,
        trainers.WordPieceTrainer(vocab_size=corpus.vocab_size, special_tokens=specials, show_progress=False),
    )
    return dict(learner.get_vocab())


@functools.cache
def _byte_pairs(corpus: Corpus) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner.train_from_iterator(
        corpus.texts,
        trainers.BpeTrainer(vocab_size=corpus.vocab_size + 80, initial_alphabet=alphabet, show_progress=False),
    )
    state = Tokenizer.from_str(learner.to_str())
    model = json.loads(state.to_str())["model"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in model["merges"]]
    return tuple(sorted(model["vocab"], key=model["vocab"].get)), tuple(merges)


@functools.cache
def _pieces(corpus: Corpus) -> tuple[tuple[str, float], ...]:
    """Return sentence pieces with their scores, without special ones."""
    learner = Tokenizer(models.Unigram())
    learner.normalizer = normalizers.NFKC()
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator(
        corpus.texts,
        trainers.UnigramTrainer(
            vocab_size=corpus.vocab_size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        ),
    )
    found = json.loads(learner.to_str())["model"]["vocab"]
    return tuple((piece, score) for piece, score in found if piece not in UNIGRAM_SPECIALS)


def _bert_tokenizer(corpus: Corpus, kind: str) -> Any:
    return getattr(transformers, kind)(vocab=_word_pieces(corpus), model_max_length=80)


def _mpnet_tokenizer(corpus: Corpus) -> Any:
    words = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
    words += [word for word in _word_pieces(corpus) if not word.startswith("[")]
    return transformers.MPNetTokenizer(vocab={word: place for place, word in enumerate(words)})


def _byte_tokenizer(corpus: Corpus, kind: str, specials: Sequence[str], **options: Any) -> Any:
    tokens, merges = _byte_pairs(corpus)
    vocab = {token: place for place, token in enumerate([*specials, *tokens])}
    return getattr(transformers, kind)(vocab=vocab, merges=list(merges), **options)


def _modernbert_tokenizer(corpus: Corpus) -> Any:
    from tokenizers import processors

    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    tokens, merges = _byte_pairs(corpus)
    backend = Tokenizer(models.BPE(vocab={one: i for i, one in enumerate([*specials, *tokens])}, merges=list(merges)))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", **names)


def _piece_tokenizer(corpus: Corpus, kind: str, specials: Sequence[str], **options: Any) -> Any:
    pieces = [*((token, 0.0) for token in specials), *_pieces(corpus)]
    return getattr(transformers, kind)(vocab=pieces, **options)


ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
WIDE = {**SIZES, "max_position_embeddings": 82}
"""Families that count positions from the padding token's on."""

FAMILIES: dict[str, tuple[str, Callable[[Corpus], Any], dict[str, Any]]] = {
    "bert": ("Bert", lambda corpus: _bert_tokenizer(corpus, "BertTokenizer"), SIZES),
    "distilbert": (
        "DistilBert",
        lambda corpus: _bert_tokenizer(corpus, "DistilBertTokenizer"),
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 80},
    ),
    "roberta": ("Roberta", lambda corpus: _byte_tokenizer(corpus, "RobertaTokenizer", ROBERTA_SPECIALS), WIDE),
    "xlm-roberta": (
        "XLMRoberta",
        lambda corpus: _piece_tokenizer(corpus, "XLMRobertaTokenizer", ROBERTA_SPECIALS),
        WIDE,
    ),
    "camembert": ("Camembert", lambda corpus: _piece_tokenizer(corpus, "CamembertTokenizer", ROBERTA_SPECIALS), WIDE),
    "albert": (
        "Albert",
        lambda corpus: _piece_tokenizer(corpus, "AlbertTokenizer", ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")),
        {**SIZES, "embedding_size": 16},
    ),
    "electra": ("Electra", lambda corpus: _bert_tokenizer(corpus, "ElectraTokenizer"), {**SIZES, "embedding_size": 16}),
    "mpnet": ("MPNet", _mpnet_tokenizer, WIDE),
    "deberta-v2": (
        "DebertaV2",
        lambda corpus: _piece_tokenizer(corpus, "DebertaV2Tokenizer", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")),
        {
            **SIZES,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "modernbert": (
        "ModernBert",
        _modernbert_tokenizer,
        {**SIZES, "local_attention": 16, "global_attn_every_n_layers": 2},
    ),
    "mobilebert": (
        "MobileBert",
        lambda corpus: _bert_tokenizer(corpus, "MobileBertTokenizer"),
        {**SIZES, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    ),
    "xlnet": (
        "XLNet",
        lambda corpus: _piece_tokenizer(
            corpus, "XLNetTokenizer", ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>")
        ),
        {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
    ),
    "gpt2": (
        "GPT2",
        lambda corpus: _byte_tokenizer(corpus, "GPT2Tokenizer", ("<|endoftext|>",)),
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 80},
    ),
    "t5": (
        "T5",
        lambda corpus: _piece_tokenizer(corpus, "T5Tokenizer", ("<pad>", "</s>", "<unk>"), extra_ids=4),
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    ),
    "bart": (
        "Bart",
        lambda corpus: _byte_tokenizer(corpus, "BartTokenizer", ROBERTA_SPECIALS),
        {
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 80,
        },
    ),
}
"""Of each family the stem of its classes, what makes its tokenizer, and the sizes of its config."""


def make_checkpoint(
    family: str,
    folder: Path,
    *,
    labels: Sequence[str] = (),
    task: str = "ForSequenceClassification",
    seed: int = 0,
    corpus: Corpus = FEW,
) -> Any:
    """Write a checkpoint into a folder and return its network.

    Args:
        family: A key of :data:`FAMILIES`.
        folder: Where it is written.
        labels: Names of its labels; without them transformers' own LABEL_0, LABEL_1.
        task: The end of the class's name, such as ``Model`` for one without a head.
        seed: Of its weights; they are larger than a fresh model's, so that answers differ.
        corpus: What its tokenizer is trained from.
    """
    stem, make_tokenizer, sizes = FAMILIES[family]
    tokenizer = make_tokenizer(corpus)
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    names = (
        {"id2label": dict(enumerate(labels)), "label2id": {one: i for i, one in enumerate(labels)}} if labels else {}
    )
    config = getattr(transformers, f"{stem}Config")(
        **sizes, vocab_size=len(tokenizer), **{name: one for name, one in ids.items() if one is not None}, **names
    )
    torch.manual_seed(seed)
    model = getattr(transformers, f"{stem}{task}")(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "norm" not in name.lower():
                weight.normal_(std=0.2 if "embed" in name.lower() else weight.shape[-1] ** -0.5)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()
