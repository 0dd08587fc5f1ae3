"""From a Hugging Face folder to the weights of its encoder, of the families whose graph can be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors.numpy import load_file

from yanmo.errors import ModelError
from yanmo.exporting.bert_weights import BERT_FAMILIES, fills_gaps, is_bare, read_bert
from yanmo.exporting.encoder import ACTIVATIONS, Encoder
from yanmo.exporting.modernbert_weights import can_read_modernbert, read_modernbert
from yanmo.exporting.named_weights import NamedWeights

__all__ = ["is_supported", "read_folder"]

READERS: dict[str, Callable[[NamedWeights, Mapping[str, Any]], Encoder]] = {
    **dict.fromkeys(BERT_FAMILIES, read_bert),
    "modernbert": read_modernbert,
}
ACTIVATION_KEYS = ("hidden_act", "activation", "hidden_activation", "classifier_activation")
"""What families' config.json calls their activations."""


def is_supported(config: Mapping[str, Any]) -> bool:
    """Return whether a ``config.json`` describes an encoder that :func:`read_folder` can read."""
    return (
        config.get("model_type") in READERS
        and all(config[name] in ACTIVATIONS for name in ACTIVATION_KEYS if name in config)
        # The graph is written for absolute positions, attention to both sides and groups of one layer.
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder", False)
        and config.get("inner_group_num", 1) == 1
        and (config["model_type"] in BERT_FAMILIES or (can_read_modernbert(config) and not fills_gaps(config)))
    )


def read_folder(folder: Path) -> Encoder:
    """Return the encoder of a Hugging Face folder: ``config.json`` and ``model.safetensors``.

    The config of a pruned one, which transformers cannot hold, has ``layer_heads``: the heads that each layer has kept.

    Raises:
        ModelError: A weight is missing.
    """
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    tensors = {name: np.asarray(array, np.float32) for name, array in load_file(folder / "model.safetensors").items()}
    if is_bare(config) and config["model_type"] in BERT_FAMILIES:
        tensors = {f"{BERT_FAMILIES[config['model_type']].prefix}.{name}": one for name, one in tensors.items()}
    try:
        return READERS[config["model_type"]](NamedWeights(tensors), config)
    except KeyError as error:
        raise ModelError(
            f"{folder / 'model.safetensors'} lacks the weight {error}.", hint="Train or download the model again."
        ) from error
