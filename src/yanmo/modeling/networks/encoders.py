"""Transformer encoders with a classification head, as stock Hugging Face classes; it knows no training and no artifact.

An encoder is built from a shape (``bert-4x312``) or opened from a folder or a hub id, and saved as a plain Hugging Face
folder. Weights are safetensors only and no remote code is run.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    ElectraConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from yanmo.answers.links import Link
from yanmo.errors import ModelError
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.light.label_chain import without_chain
from yanmo.modeling.networks import heads
from yanmo.modeling.networks import pooling as pooled
from yanmo.modeling.pretrained import weight_files
from yanmo.modeling.pretrained.checkpoint_tokenizer import SPECIALS
from yanmo.modeling.pretrained.opening import opening, quiet
from yanmo.modeling.settings import Activation, Pooling
from yanmo.models import ModelSpec, num_heads

__all__ = [
    "CONFIGS",
    "build_encoder",
    "load",
    "load_folder",
    "load_with_head",
    "max_positions",
    "open_network",
    "read_config",
    "save",
    "score_encoder",
    "shape_sizes",
    "takes_token_types",
]

logger = logging.getLogger(__name__)

CONFIGS = {"bert": BertConfig, "roberta": RobertaConfig, "albert": AlbertConfig, "electra": ElectraConfig}
NUM_POSITIONS = 512
MOST_SHOWN = 3


def build_encoder(
    spec: ModelSpec,
    tokenizer: tokenizers.Tokenizer,
    *,
    labels: Sequence[str],
    link: Link,
    max_length: int,
    dropout: float,
    activation: Activation | None = None,
    per_unit: bool = False,
    num_kinds: int = 0,
) -> nn.Module:
    """Return an untrained encoder of a shape; all sizes but the shape's are the family's own defaults.

    Args:
        spec: A family of :data:`yanmo.models.ENCODER_FAMILIES` with layers and width.
        tokenizer: With the special tokens of :data:`SPECIALS`.
        labels: All labels in order.
        link: From scores to probabilities.
        max_length: Most tokens of a text.
        dropout: Of hidden states and head; attention weights are not dropped: it would cost a tenth of the time.
        activation: Of the feed-forward part; None: the family's own.
        per_unit: Whether every token gets scores, and not the text.
        num_kinds: Kinds of words, such as parts of speech, which are types of their tokens.
    """
    sizes = shape_sizes(spec, tokenizer, max_length=max_length, dropout=dropout)
    sizes |= {"type_vocab_size": num_kinds + 1} if num_kinds else {}
    sizes |= {"hidden_act": activation} if activation else {}
    config = CONFIGS[spec.family](**sizes, **heads.head_config(labels, link))
    kind: Any = AutoModelForTokenClassification if per_unit else AutoModelForSequenceClassification
    module: nn.Module = kind.from_config(config)
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
        # RoBERTa numbers places from behind the id of its padding token on, so the first ones are never read.
        "max_position_embeddings": max(NUM_POSITIONS, max_length) + 2 * (spec.family == "roberta"),
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout_prob" if spec.family == "albert" else "classifier_dropout": dropout,
        "type_vocab_size": 2,
        "pad_token_id": ids["pad_token_id"],
        "bos_token_id": ids["cls_token_id"],
        "eos_token_id": ids["sep_token_id"],
    }


def load(folder: str | Path, *, labels: Sequence[str], link: Link) -> nn.Module:
    """Return a pretrained encoder with a head for the labels; rows of its own head stay with the labels' names.

    Args:
        folder: A local one.
        labels: All labels in order.
        link: From scores to probabilities.

    Raises:
        ModelError: There is no such model, its files are damaged or do not fit each other, or it needs its own code.
    """
    return load_with_head(folder, labels=labels, link=link)[0]


def load_with_head(
    folder: str | Path,
    *,
    labels: Sequence[str],
    link: Link,
    dropout: float | None = None,
    pooling: Pooling = "auto",
    per_unit: bool = False,
) -> tuple[nn.Module, list[str]]:
    """Return what :func:`load` does, and the labels whose rows of the head were kept.

    Args:
        folder: A local one.
        labels: All labels in order.
        link: From scores to probabilities.
        dropout: Replaces the checkpoint's own; None keeps that.
        pooling: What the head reads; auto: what the checkpoint was trained with.
        per_unit: Whether every token gets scores, and not the text; the head reads each token then.

    Raises:
        ModelError: As :func:`load` does.
    """
    config = read_config(folder)
    own = pooled.own_pooling(config)
    if per_unit:
        pooled.set_pooling(config, "first")
    else:
        found = pooled.find_pooling(config, Path(folder)) or "first"
        pooled.set_pooling(config, found if pooling == "auto" else pooling)
    if dropout is not None:
        # Each family has names of its own for its dropouts. Dropout of whole layers is another thing.
        config.update({name: dropout for name in config.to_dict() if "dropout" in name and "layer" not in name})
    kind = AutoModelForTokenClassification if per_unit else pooled.classifier_class(config)
    module, new = open_network(kind, folder, config)
    is_new = bool(new & {f"{heads.output_layer(module)[0]}.{part}" for part in ("weight", "bias")})
    # Weights of a head that has read other states fit in shape only.
    is_new = is_new or pooled.own_pooling(config) != own
    return module, heads.fit_head(module, list(labels), link=link, name=Path(folder).name, is_new=is_new)


def load_folder(folder: Path) -> nn.Module:
    """Return the trained encoder of a folder that :func:`save` wrote, ready to answer.

    Raises:
        ModelError: The folder does not hold one, or not all of its weights.
    """
    config = read_config(folder)
    kind = AutoModelForTokenClassification if labels_tokens(config) else pooled.classifier_class(config)
    module, new = open_network(AutoModelForMaskedLM if guesses_tokens(config) else kind, folder, config)
    if new:
        raise ModelError(
            f"The weights of {folder} lack {', '.join(sorted(new)[:MOST_SHOWN])}: it is no whole classifier.",
            hint="Copy the folder again, or train a model from it.",
        )
    return module.eval()


def read_config(folder: str | Path) -> Any:
    """Return the config of a checkpoint's network, with a name for every score of its head.

    Raises:
        ModelError: There is none, it is damaged, or it needs its own code.
    """
    inner = weight_files.network_folder(Path(folder))
    weight_files.check_whole(inner)
    with opening(folder):
        config = AutoConfig.from_pretrained(inner, local_files_only=True, trust_remote_code=False)
        heads.fill_gaps(config)
        return config


def open_network(kind: Any, folder: str | Path, config: Any) -> tuple[nn.Module, set[str]]:
    """Return a checkpoint's network and the names of the weights that are new: only those of its head may be.

    Args:
        kind: One of transformers' classes ``AutoModelFor…``.
        folder: A local one.
        config: From :func:`read_config`.

    Raises:
        ModelError: The weights are missing or damaged, or do not fit the config.
    """
    name = Path(folder).name
    with weight_files.readable(weight_files.network_folder(Path(folder))) as plain, opening(folder):
        module, info = _open_network(kind, plain, config, {})
        # Nearly all checkpoints open as they are; only one that does not is searched for a prefix and opened again.
        if _unfit(module, info):
            names = weight_files.weight_names(plain)
            prefix = weight_files.find_prefix(names, module.state_dict(), module.base_model_prefix)
            if prefix:
                logger.info("The names of the weights of %s begin with %r, which is left out.", name, prefix)
                module, info = _open_network(kind, plain, config, {f"^{re.escape(prefix)}": ""})
    unfit = _unfit(module, info)
    if unfit:
        shown = "; ".join(unfit[:MOST_SHOWN]) + (f"; and {len(unfit) - MOST_SHOWN} more" if unfit[MOST_SHOWN:] else "")
        raise ModelError(
            f"The weights of {folder} do not fit its config.json: {shown}.",
            hint="Take both files from one save of the model. Only a head may be missing: it is then new.",
        )
    return module, {*info["missing_keys"], *(one[0] for one in info["mismatched_keys"])}


def _open_network(kind: Any, folder: Path, config: Any, renamed: Mapping[str, str]) -> tuple[Any, dict[str, Any]]:
    module, info = kind.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        # Of a head other shapes are right; of all else _unfit refuses them, and says more than transformers does.
        ignore_mismatched_sizes=True,
        # Whatever it was stored in: a step of learning is often too small for 16 bits.
        dtype="float32",
        key_mapping=dict(renamed) or None,
        output_loading_info=True,
    )
    return module, info


def _unfit(module: nn.Module, info: Mapping[str, Any]) -> list[str]:
    """Return what of an encoder's weights is missing, has another shape, or is there although it has no such layer."""
    found = [f"{name} is missing" for name in sorted(info["missing_keys"]) if not heads.is_in_head(module, name)]
    found += [
        f"{name} has the shape {tuple(there)} for {tuple(wanted)}"
        for name, there, wanted in sorted(info["mismatched_keys"])
        if not heads.is_in_head(module, name)
    ]
    # Unexpected weights do no harm, unless the network has such a layer under another number: then it is the config
    # that does not fit.
    known = {weight_files.without_numbers(name) for name in module.state_dict()}
    base = f"{module.base_model_prefix}."
    found += [
        f"{name} has no place"
        for name in sorted(info["unexpected_keys"])
        if {weight_files.without_numbers(one) for one in (name, base + name)} & known
    ]
    return found


def save(folder: Path, module: nn.Module, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write a plain Hugging Face folder: config.json, model.safetensors, tokenizer.json, tokenizer_config.json."""
    model: Any = module
    # A path of this machine would be written, too, and equal models would differ in their bytes.
    model.config.name_or_path = ""
    with quiet():
        # Never cut into parts: model.safetensors is the one name that is looked for.
        model.save_pretrained(folder, max_shard_size="1000GB", state_dict=without_chain(module))
    tokenizer.init_kwargs.pop("name_or_path", None)
    tokenizer.name_or_path = ""
    tokenizer.save_pretrained(folder)


def score_encoder(module: nn.Module, batch: TensorBatch) -> Tensor:
    """Return logits_BC of a batch of token ids."""
    logits_BC: Tensor = module(**batch).logits
    return logits_BC


def takes_token_types(module: nn.Module) -> bool:
    """Return whether the model tells the two texts of a pair apart by token types."""
    has_argument = "token_type_ids" in inspect.signature(module.forward).parameters
    return has_argument and getattr(module.config, "type_vocab_size", 0) > 1


def labels_tokens(config: Any) -> bool:
    """Return whether a checkpoint's network has scores for every token."""
    return any(name.endswith("ForTokenClassification") for name in config.architectures or ())


def guesses_tokens(config: Any) -> bool:
    """Return whether a checkpoint's network guesses hidden tokens."""
    return any(name.endswith("ForMaskedLM") for name in config.architectures or ())


def max_positions(module: nn.Module) -> int | None:
    """Return the most tokens the model can read, or None where there is no limit."""
    config: Any = module.config
    limit = getattr(config, "max_position_embeddings", None)
    # XLNet says -1 where there is no limit.
    if limit is None or limit <= 0:
        return None
    # These number places from behind the id of their padding token on, so the first embeddings are never read.
    counts_from_pad = config.model_type in {"roberta", "camembert", "xlm-roberta", "mpnet", "longformer"}
    return int(limit) - (config.pad_token_id + 1 if counts_from_pad else 0)
