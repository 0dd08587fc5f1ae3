"""The weights of a network that reads one text and writes another, whatever its family; it knows no ONNX operators.

Read from a Hugging Face folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from yanmo.errors import ModelError
from yanmo.exporting.bart_weights import read_bart
from yanmo.exporting.decoder_tensors import DecoderTensors, read_checkpoint
from yanmo.exporting.t5_weights import read_t5, t5_activation
from yanmo.exporting.writing_layers import EncoderDecoderWeights

__all__ = ["is_encoder_decoder", "read_encoder_decoder"]

READERS: dict[str, Callable[[DecoderTensors, Mapping[str, Any]], EncoderDecoderWeights]] = {
    "t5": read_t5,
    "mt5": read_t5,
    "bart": read_bart,
}
"""Family to what reads its weights."""
ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
HEAD_STEP = 8
"""onnxruntime computes heads of such widths."""


def is_encoder_decoder(config: Mapping[str, Any]) -> bool:
    """Return whether a ``config.json`` describes a network that :func:`read_encoder_decoder` can read."""
    if config.get("model_type") == "bart":
        # Queries, keys and values of both sides have one number of heads in a graph.
        is_even = config.get("encoder_attention_heads") == config.get("decoder_attention_heads")
        return is_even and config.get("activation_function", "gelu") in ACTIVATIONS
    return config.get("model_type") in READERS and t5_activation(config)[0] in ACTIVATIONS


def read_encoder_decoder(folder: Path) -> EncoderDecoderWeights:
    """Return the network of a Hugging Face folder: ``config.json`` and ``model.safetensors``.

    Raises:
        ModelError: The family is another one, a file cannot be read, or a weight is missing.
    """
    config, weights = read_checkpoint(folder)
    if not is_encoder_decoder(config):
        raise ModelError(
            f"{folder / 'config.json'} describes no network with an encoder and a decoder whose graph can be written.",
            hint=f"The families are: {', '.join(READERS)}. Others answer as torch Bundles, as they are.",
        )
    try:
        network = READERS[config["model_type"]](weights, config)
    except KeyError as error:
        raise ModelError(f"{folder} lacks the weight or the setting {error}.", hint="Copy the model again.") from error
    if network.head_width % HEAD_STEP:
        raise ModelError(
            f"The heads of {folder} are {network.head_width} wide; onnxruntime computes multiples of {HEAD_STEP}.",
            hint="Train a model with other heads.",
        )
    return network
