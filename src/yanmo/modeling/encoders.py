"""Transformer encoders with a classification head, as stock Hugging Face classes; it knows no training and no artifact.

An encoder is built from a shape (``bert-4x312``) or opened from a folder or a hub id, and saved as a plain Hugging Face
folder. Weights are safetensors only and no remote code is run.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import RepositoryNotFoundError
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    ElectraConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)
from transformers.utils import logging as transformers_logging

from yanmo.answers.links import Link
from yanmo.errors import ModelError
from yanmo.modeling.features import Batch
from yanmo.models import ModelSpec, num_heads

__all__ = [
    "CONFIGS",
    "build",
    "is_online",
    "load",
    "load_tokenizer",
    "max_positions",
    "opening",
    "save",
    "score",
    "shape_sizes",
    "wrap_tokenizer",
]

CONFIGS = {"bert": BertConfig, "roberta": RobertaConfig, "albert": AlbertConfig, "electra": ElectraConfig}
NUM_POSITIONS = 512
HUB_SECONDS = 10
SPECIALS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def build(
    spec: ModelSpec,
    tokenizer: tokenizers.Tokenizer,
    *,
    labels: Sequence[str],
    link: Link,
    max_length: int,
    dropout: float,
) -> nn.Module:
    """Return an untrained encoder of a shape; all sizes but the shape's are the family's own defaults.

    Args:
        spec: A family of :data:`yanmo.models.ENCODER_FAMILIES` with layers and width.
        tokenizer: With the special tokens of :data:`SPECIALS`.
        labels: All labels in order.
        link: From scores to probabilities.
        max_length: Most tokens of a text.
        dropout: Of hidden states and head; attention weights are not dropped: it would cost a tenth of the time.
    """
    sizes = shape_sizes(spec, tokenizer, max_length=max_length, dropout=dropout)
    config = CONFIGS[spec.family](**sizes, **_head(labels, link))
    module: nn.Module = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    return module


def shape_sizes(spec: ModelSpec, tokenizer: tokenizers.Tokenizer, *, max_length: int, dropout: float) -> dict[str, Any]:
    """Return what a family's config class is given for a shape, but for the head; arguments as those of ``build``."""
    ids = {f"{name}_token_id": tokenizer.token_to_id(token) for name, token in SPECIALS.items()}
    return {
        "vocab_size": tokenizer.get_vocab_size(),
        "num_hidden_layers": spec.layers,
        "hidden_size": spec.width,
        "num_attention_heads": num_heads(spec.width),
        "intermediate_size": 4 * spec.width,
        "max_position_embeddings": max(NUM_POSITIONS, max_length) + 2 * (spec.family == "roberta"),
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout_prob" if spec.family == "albert" else "classifier_dropout": dropout,
        "type_vocab_size": 2,
        "pad_token_id": ids["pad_token_id"],
        "bos_token_id": ids["cls_token_id"],
        "eos_token_id": ids["sep_token_id"],
    }


def is_online(source: str) -> bool:
    """Return whether the hub answers and has a model; where it does not answer, the model must be in the hub's cache.

    It is asked once: the hub's own library asks again for half a minute, file by file.

    Args:
        source: A hub id.

    Raises:
        ModelError: The hub has no such model, or does not answer and the model is not in the cache.
    """
    try:
        HfApi().model_info(source, timeout=HUB_SECONDS)
    except RepositoryNotFoundError as error:
        raise _nowhere(source, "the hub has no model of that name") from error
    except Exception as error:  # whatever the HTTP library of this version of the hub's raises
        if isinstance(try_to_load_from_cache(source, "config.json"), str):
            return False
        raise _nowhere(source, f"the hub does not answer ({str(error).partition(chr(10))[0].rstrip('.')})") from error
    return True


def _nowhere(source: str, reason: str) -> ModelError:
    return ModelError(
        f"There is no folder {source}, and {reason}.",
        hint="Check the name: an existing folder, or a hub id of the form owner/name.",
    )


def load(
    source: str | Path, *, labels: Sequence[str], link: Link, offline: bool = True, dropout: float | None = None
) -> nn.Module:
    """Return a pretrained encoder with a head for the labels; a head that fits is kept.

    Args:
        source: A local folder or a hub id.
        labels: All labels in order.
        link: From scores to probabilities.
        offline: No network.
        dropout: Replaces the checkpoint's own; None keeps that.

    Raises:
        ModelError: There is no such model, its weights are not safetensors, or it needs its own code.
    """
    with opening(source):
        config = AutoConfig.from_pretrained(source, local_files_only=offline, trust_remote_code=False)
        config.update(_head(labels, link))
        if dropout is not None:
            config.update({name: dropout for name in config.to_dict() if "dropout" in name and "layer" not in name})
        return _open_model(source, config, offline)


def load_folder(folder: Path) -> nn.Module:
    """Return the trained encoder of a folder that :func:`save` wrote, ready to answer.

    Raises:
        ModelError: The folder does not hold one.
    """
    with opening(folder):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return _open_model(folder, config, offline=True).eval()


def load_tokenizer(source: str | Path, *, offline: bool = True) -> PreTrainedTokenizerFast:
    """Return a checkpoint's own tokenizer; where it has no padding token, the end-of-text token stands in.

    Raises:
        ModelError: There is none, or it is not one of the fast kind.
    """
    with opening(source):
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=offline, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(
            f"The tokenizer of {source} has no tokenizer.json.", hint="Choose a checkpoint that has that file."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise ModelError(f"The tokenizer of {source} has no padding token.", hint="Choose another checkpoint.")
    return tokenizer


def wrap_tokenizer(tokenizer: tokenizers.Tokenizer, *, max_length: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained here in the form that Hugging Face folders hold."""
    tokens = {f"{name}_token": token for name, token in SPECIALS.items()}
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, model_max_length=max_length, **tokens
    )
    return wrapped


def save(folder: Path, module: nn.Module, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write a plain Hugging Face folder: config.json, model.safetensors, tokenizer.json, tokenizer_config.json."""
    model: Any = module
    model.config.name_or_path = ""
    with _quiet():
        model.save_pretrained(folder, max_shard_size="1000GB")
    tokenizer.init_kwargs.pop("name_or_path", None)
    tokenizer.name_or_path = ""
    tokenizer.save_pretrained(folder)


def score(module: nn.Module, batch: Batch) -> Tensor:
    """Return logits_BC of a batch of token ids."""
    logits_BC: Tensor = module(**batch).logits
    return logits_BC


def takes_token_types(module: nn.Module) -> bool:
    """Return whether the model tells the two texts of a pair apart by token types."""
    has_argument = "token_type_ids" in inspect.signature(module.forward).parameters
    return has_argument and getattr(module.config, "type_vocab_size", 0) > 1


def max_positions(module: nn.Module) -> int | None:
    """Return the most tokens the model can read, or None where there is no limit."""
    config: Any = module.config
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or limit <= 0:
        return None
    counts_from_pad = config.model_type in {"roberta", "camembert", "xlm-roberta", "mpnet", "longformer"}
    return int(limit) - (config.pad_token_id + 1 if counts_from_pad else 0)


def _head(labels: Sequence[str], link: Link) -> dict[str, Any]:
    kind = "single_label_classification" if link.excludes else "multi_label_classification"
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
        "problem_type": kind,
    }


def _open_model(source: str | Path, config: Any, offline: bool) -> nn.Module:
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        source,
        config=config,
        local_files_only=offline,
        trust_remote_code=False,
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        dtype="float32",
    )
    return model


@contextlib.contextmanager
def opening(source: str | Path, *, does: str = "classifies sequences") -> Iterator[None]:
    """Turn what transformers raises about a missing or unusable checkpoint into our error, and keep it quiet.

    Args:
        source: A local folder or a hub id.
        does: What a model that could be opened does, for the hint.
    """
    try:
        with _quiet():
            yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"The model {source} cannot be opened: {reason}",
            hint="Give a folder or hub id with config.json, model.safetensors and tokenizer.json of a model that "
            f"{does}.",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back transformers' progress bars and its notes about new heads."""
    verbosity = transformers_logging.get_verbosity()
    shows_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shows_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
