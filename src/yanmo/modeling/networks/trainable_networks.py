"""From a model's name to a network that can be trained and saved: its vocabulary, its features and its files.

One function for each kind of family, in one table. It knows no artifact: files go into a given folder.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import numpy as numpy_files
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from yanmo.arrays import Ragged
from yanmo.artifacts.bundle import CHAIN
from yanmo.errors import ConfigError
from yanmo.modeling.features.hashed_ngrams import hash_texts, network_ngrams
from yanmo.modeling.features.ragged import Features, NgramFeatures, Score, TensorBatch, TokenFeatures
from yanmo.modeling.features.token_features import (
    other_tokens,
    teacher_tokenizer,
    token_encoder,
    train_tokenizer,
)
from yanmo.modeling.light import light_models
from yanmo.modeling.light.biaffine_head import BiaffineHead, save_tree_head
from yanmo.modeling.light.label_chain import LabelChain, without_chain
from yanmo.modeling.light.light_sizes import SIZES
from yanmo.modeling.light.sequence_layers import EMBEDDING_INIT, PAD_ID
from yanmo.modeling.networks.dropout import SampledDropout
from yanmo.modeling.networks.embeddings import begin_with, ppmi_embeddings
from yanmo.modeling.networks.layer_depths import freeze
from yanmo.modeling.networks.unit_heads import chained
from yanmo.modeling.settings import NetworkSettings
from yanmo.models import ENCODER_FAMILIES, STARTED_FAMILIES, ModelSpec
from yanmo.text.inputs import Inputs
from yanmo.text.seen import keep_seen, seen_bitmap

__all__ = ["Trainable", "encoder_trainable", "make_trainable"]

logger = logging.getLogger(__name__)

# An n-gram that stands once in the training texts tells nothing that holds for others.
MIN_NGRAM_COUNT = 2
NUM_ASKED = 100
"""Texts of which the shortest and the longest say whether a checkpoint answers alike alone and in a batch."""


@dataclass(frozen=True)
class Trainable:
    """A network with everything that belongs to it.

    Attributes:
        module: The network.
        score: From the network and a batch to logits_BC.
        encode: From texts to features.
        encode_training: The same for the texts to learn from, which may keep more.
        save: Writes the network's files into a folder.
        architecture: What its code needs to build it again.
        max_length: Most tokens of a text; 0 where all of it is read.
        has_new_head: It begins with a checkpoint that has no row of a head for any of the labels.
    """

    module: nn.Module
    score: Callable[[nn.Module, TensorBatch], Tensor]
    encode: Callable[[Inputs], Features]
    encode_training: Callable[[Inputs], Features]
    save: Callable[[Path], None]
    architecture: dict[str, Any]
    max_length: int
    has_new_head: bool = False


def make_trainable(spec: ModelSpec, texts: Inputs, settings: NetworkSettings) -> Trainable:
    """Return the network of a name, with random weights from torch's generator, or with those of its checkpoint.

    Args:
        spec: What the name means; of any family but ``linear``.
        texts: The training texts, for the vocabulary.
        settings: Sizes and labels.

    Raises:
        ModelError: A checkpoint cannot be used.
        ConfigError: A setting does not suit the model.
    """
    return _MAKERS[spec.family](spec, texts, settings)


def _make_encoder(spec: ModelSpec, texts: Inputs, settings: NetworkSettings) -> Trainable:
    from yanmo.modeling.networks import encoders
    from yanmo.modeling.pretrained import checkpoint_tokenizer

    max_length = settings.max_length or 0
    tokenizer = teacher_tokenizer(settings) or train_tokenizer(texts, settings)
    module = encoders.build_encoder(
        spec,
        tokenizer,
        labels=settings.labels,
        link=settings.link,
        max_length=max_length,
        dropout=settings.dropout or 0.0,
        activation=settings.activation,
        per_unit=settings.per_unit,
        num_kinds=len(settings.kinds),
    )
    wrapped = checkpoint_tokenizer.wrap_tokenizer(tokenizer, max_length=max_length)
    return encoder_trainable(module, wrapped, tokenizer, settings, max_length)


def _make_pretrained(spec: ModelSpec, texts: Inputs, settings: NetworkSettings) -> Trainable:
    from yanmo.modeling.networks import encoders
    from yanmo.modeling.pretrained import checkpoint_tokenizer
    from yanmo.modeling.pretrained.batch_invariance import check_invariance
    from yanmo.modeling.pretrained.hub import find_folder

    folder = find_folder(spec, offline=settings.offline)
    wrapped = checkpoint_tokenizer.load_tokenizer(folder)
    module: Any
    module, kept = encoders.load_with_head(
        folder,
        labels=settings.labels,
        link=settings.link,
        dropout=settings.dropout,
        pooling=settings.pooling,
        per_unit=settings.per_unit,
    )
    num_embeddings = module.get_input_embeddings().num_embeddings
    checkpoint_tokenizer.check_fits(wrapped.backend_tokenizer, num_embeddings, spec.name)
    checkpoint_tokenizer.check_known(wrapped.backend_tokenizer, texts, spec.name)
    teachers = teacher_tokenizer(settings)
    if teachers is not None and teachers.get_vocab() != wrapped.backend_tokenizer.get_vocab():
        raise other_tokens(spec.name)
    # The tokenizer fills the batches; some configs name another padding token, or none.
    module.config.pad_token_id = wrapped.pad_token_id
    max_length = _fit_length(spec, settings, encoders.max_positions(module))
    trainable = encoder_trainable(module, wrapped, wrapped.backend_tokenizer, settings, max_length)
    check_invariance(module, trainable.score, trainable.encode(_sample(texts)), name=spec.name)
    return replace(trainable, has_new_head=not kept)


def _sample(texts: Inputs) -> Inputs:
    """Return some of the texts, from the whole column."""
    return texts.take(np.unique(np.linspace(0, len(texts) - 1, NUM_ASKED).round().astype(np.int64)))


def _fit_length(spec: ModelSpec, settings: NetworkSettings, limit: int | None) -> int:
    """Return the most tokens of a text, where the checkpoint reads at most ``limit`` (None: any number)."""
    max_length = settings.max_length or 0
    if limit is None or max_length <= limit:
        return max_length
    if settings.is_length_given:
        raise ConfigError(
            f"The 'max_length' parameter of train must be at most {limit} for {spec.name}. Got {max_length} instead.",
            hint="Give a smaller max_length, or a model that reads longer texts.",
        )
    logger.info("max_length is %d, the most that %s reads, instead of %d", limit, spec.name, max_length)
    return limit


def encoder_trainable(
    module: nn.Module, wrapped: Any, tokenizer: Tokenizer, settings: NetworkSettings, max_length: int
) -> Trainable:
    """Return an encoder with what belongs to it.

    Args:
        module: The network.
        wrapped: Its tokenizer, as transformers holds it.
        tokenizer: The same, bare.
        settings: Which of its weights learn.
        max_length: Most tokens of a text.
    """
    from yanmo.modeling.networks import encoders
    from yanmo.modeling.networks.adapters import add_adapters, merge_adapters

    adapters = add_adapters(module, settings.lora_rank) if settings.lora_rank else None
    # After the adapters, so that those of frozen layers do not learn either.
    freeze(module, settings.frozen_layers)
    has_types = encoders.takes_token_types(module)
    encode = token_encoder(tokenizer, max_length, pad_id=int(wrapped.pad_token_id), has_types=has_types)

    score = _in_chain(module, _encoder_score(module, settings), settings)

    def save(folder: Path) -> None:
        if adapters is not None:
            merge_adapters(adapters)
        encoders.save(folder, module, wrapped)
        _save_chain(folder, module)

    architecture = {"family": "encoder", "token_types": has_types, "pad_id": int(wrapped.pad_token_id)}
    architecture |= {"reads_kinds": True} if settings.kinds else {}
    return Trainable(module, score, encode, encode, save, architecture, max_length)


def _encoder_score(module: nn.Module, settings: NetworkSettings) -> Callable[[nn.Module, TensorBatch], Tensor]:
    from yanmo.modeling.networks import encoders, fast_encoder, unit_heads

    num_samples = settings.multi_sample_dropout
    if settings.per_unit:
        is_fast = fast_encoder.can_read(module) and not settings.is_sharded
        return functools.partial(unit_heads.score_fast if is_fast else unit_heads.score_stock, num_samples=num_samples)
    if fast_encoder.is_lean(module) and not settings.is_sharded:  # sharded weights come together in stock layers only
        return functools.partial(fast_encoder.score, num_samples=num_samples)
    _sample_dropout(module, "dropout", num_samples)
    return encoders.score_encoder


def _sample_dropout(module: nn.Module, name: str, num_samples: int) -> None:
    """Let the last dropout of a network draw several masks.

    Raises:
        ConfigError: The network has no such dropout.
    """
    if num_samples == 1:
        return
    dropout = getattr(module, name, None)
    if not isinstance(dropout, nn.Dropout):
        raise ConfigError(
            f"The 'multi_sample_dropout' parameter of train does not suit {type(module).__name__}: it has no dropout "
            "of its own before its last layer.",
            hint="Leave multi_sample_dropout out, or train a model of the family bert; roberta and electra can have it "
            "without lora_rank and sharding.",
        )
    setattr(module, name, SampledDropout(dropout, num_samples))


def _make_light(spec: ModelSpec, texts: Inputs, settings: NetworkSettings) -> Trainable:
    tokenizer = train_tokenizer(texts, settings)
    architecture = {
        "family": spec.family,
        "vocab_size": tokenizer.get_vocab_size(),
        "num_classes": len(settings.labels),
        "dropout": settings.dropout,
        **SIZES[settings.head][spec.family],
    }
    reads_kinds = architecture.get("reads_kinds", False)
    if reads_kinds:
        architecture["num_kinds"] = len(settings.kinds)
    has_types = reads_kinds or settings.head == "passages"
    if has_types:
        architecture["token_types"] = True
    module = light_models.build_light_model(architecture)
    _sample_dropout(module, "out_dropout", settings.multi_sample_dropout)
    max_length = settings.max_length or 0

    def save(folder: Path) -> None:
        _save_weights(folder, module)
        _save_chain(folder, module)
        _save_json(folder / "config.json", architecture)
        tokenizer.save(str(folder / "tokenizer.json"))

    encode = token_encoder(tokenizer, max_length, pad_id=PAD_ID, has_types=has_types)
    if spec.family == "textcnn":
        _start_embeddings(module, encode(texts))
    score = _in_chain(module, _score_light, settings)
    return Trainable(module, score, encode, encode, save, architecture, max_length)


def _start_embeddings(module: nn.Module, features: TokenFeatures) -> None:
    """Let embeddings begin with what the training texts tell about their tokens; a third of a point on short titles."""
    weight_VD = module.get_parameter("embedding.weight")
    start_VD = ppmi_embeddings(
        features.ids,
        vocab_size=len(weight_VD),
        size=weight_VD.shape[1],
        deviation=EMBEDDING_INIT,
    )
    begin_with(weight_VD, start_VD)
    with torch.no_grad():
        weight_VD[PAD_ID] = 0


def _make_ngram(spec: ModelSpec, texts: Inputs, settings: NetworkSettings) -> Trainable:
    config = network_ngrams(texts)
    sizes = SIZES["texts"][spec.family]
    architecture = {
        "family": spec.family,
        "num_classes": len(settings.labels),
        "dropout": settings.dropout,
        **sizes,
    }
    module = light_models.build_light_model(architecture)
    _sample_dropout(module, "out_dropout", settings.multi_sample_dropout)
    seen = seen_bitmap(hash_texts(texts, config).values, min_count=MIN_NGRAM_COUNT)

    def features(hashes: Ragged) -> NgramFeatures:
        # The number of buckets is a power of two, so this is the rest of a division by it.
        buckets = (hashes.values & (sizes["num_buckets"] - 1)).astype("int32")
        return NgramFeatures(Ragged(buckets, hashes.offsets))

    def encode(column: Inputs) -> NgramFeatures:
        return features(keep_seen(hash_texts(column, config), seen))

    def encode_training(column: Inputs) -> NgramFeatures:
        return features(hash_texts(column, config))  # rare n-grams are noise that training bears

    def save(folder: Path) -> None:
        _save_weights(folder, module, seen=torch.from_numpy(seen))
        _save_json(
            folder / "ngram.json", {"num_buckets": sizes["num_buckets"], "ngrams": config.model_dump(mode="json")}
        )

    return Trainable(module, _score_light, encode, encode_training, save, architecture, 0)


_MAKERS: Mapping[str, Callable[[ModelSpec, Inputs, NetworkSettings], Trainable]] = {
    **dict.fromkeys(ENCODER_FAMILIES, _make_encoder),
    **dict.fromkeys(STARTED_FAMILIES, _make_pretrained),
    "textcnn": _make_light,
    "bilstm": _make_light,
    "ngram": _make_ngram,
}


def _score_light(module: nn.Module, batch: TensorBatch) -> Tensor:
    logits_BC: Tensor = module(*batch.values())
    return logits_BC


def _in_chain(module: nn.Module, score: Score, settings: NetworkSettings) -> Score:
    """Return the score of texts as it is; that of units with a chain over them, where their tags have a scheme.

    Of trees the network says what a head of its own reads, which becomes a part of it.
    """
    if settings.head == "trees":
        module.tree_head = BiaffineHead(len(settings.decided))
        return score
    return chained(module, score, settings.labels) if settings.head == "units" else score


def _save_chain(folder: Path, module: nn.Module) -> None:
    chain = getattr(module, "label_chain", None)
    if isinstance(chain, LabelChain):
        numpy_files.save_file(chain.arrays(), folder / CHAIN, metadata={"format": "pt"})
    save_tree_head(folder, module)


def _save_weights(folder: Path, module: nn.Module, **others: Tensor) -> None:
    # safetensors takes no tensor with gaps between its numbers.
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in without_chain(module).items()}
    save_file({**weights, **others}, folder / "model.safetensors", metadata={"format": "pt"})


def _save_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
