"""The weights of language models without attention, an LSTM or gated convolutions, read from a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.errors import ModelError
from yanmo.exporting.decoder_tensors import DecoderNorm, DecoderProduct, DecoderTensors, read_checkpoint

__all__ = ["GatedConvolution", "LightDecoder", "LstmLayer", "is_light_decoder", "read_light_decoder"]


@dataclass(frozen=True)
class LstmLayer:
    """One LSTM.

    Attributes:
        name: Unique in a network.
        entering: From what is read to the gates: input, forget, cell, output.
        recurrent: From the state before to the same.
    """

    name: str
    entering: DecoderProduct
    recurrent: DecoderProduct

    @property
    def products(self) -> tuple[DecoderProduct, ...]:
        """Its linear maps."""
        return (self.entering, self.recurrent)

    @property
    def width(self) -> int:
        """Of what has to be kept of a place: its state and its cell."""
        return 2 * int(self.recurrent.weight_KN.shape[0])


@dataclass(frozen=True)
class GatedConvolution:
    """One convolution over a place and those before it.

    Attributes:
        name: Unique in a network.
        norm: Of what is read.
        convolution: From all places that are read, the oldest first, to numbers and their gates.
    """

    name: str
    norm: DecoderNorm
    convolution: DecoderProduct

    @property
    def products(self) -> tuple[DecoderProduct, ...]:
        """Its linear map."""
        return (self.convolution,)

    @property
    def width(self) -> int:
        """Of what has to be kept of a place: what was read there."""
        return len(self.norm.scale_D)


@dataclass(frozen=True)
class LightDecoder:
    """A whole language model.

    Attributes:
        tokens_VD: Embedding of every token, which gives the scores, too.
        bias_V: Added to the scores.
        layers: In the order in which they run.
        final_norm: Before the scores; None where there is none.
        epsilon: Of every normalization.
        max_length: The most tokens of a text.
    """

    tokens_VD: FloatArray
    bias_V: FloatArray
    layers: tuple[LstmLayer | GatedConvolution, ...]
    final_norm: DecoderNorm | None
    epsilon: float
    max_length: int


def _read_lstm(weights: DecoderTensors, place: int) -> LstmLayer:
    name, source = f"layer.{place}", f"layers.{place}"
    bias_N = weights[f"{source}.bias_ih_l0"] + weights[f"{source}.bias_hh_l0"]
    entering, recurrent = (np.ascontiguousarray(weights[f"{source}.weight_{part}_l0"].T) for part in ("ih", "hh"))
    return LstmLayer(
        name, DecoderProduct(f"{name}.entering", entering, bias_N), DecoderProduct(f"{name}.recurrent", recurrent)
    )


def _read_convolution(weights: DecoderTensors, place: int) -> GatedConvolution:
    name, source = f"layer.{place}", f"layers.{place}"
    return GatedConvolution(
        name,
        weights.norm(f"{name}.norm", f"{source}.norm"),
        weights.product(f"{name}.convolution", f"{source}.convolution"),
    )


READERS: Mapping[str, Callable[[DecoderTensors, int], LstmLayer | GatedConvolution]] = {
    "yanmo-lstm": _read_lstm,
    "yanmo-gcnn": _read_convolution,
}
"""What ``config.json`` calls a network, to what reads one of its layers."""
EPSILON = 1e-5
"""Of torch's layer normalization."""


def is_light_decoder(config: Mapping[str, Any]) -> bool:
    """Return whether a ``config.json`` describes such a network."""
    return config.get("model_type") in READERS


def read_light_decoder(folder: Path) -> LightDecoder:
    """Return the network of a folder.

    Raises:
        ModelError: A file cannot be read, or a weight is missing.
    """
    config, weights = read_checkpoint(folder)
    read = READERS[config["model_type"]]
    try:
        return LightDecoder(
            weights["embeddings.weight"],
            weights["bias"],
            tuple(read(weights, place) for place in range(config["num_hidden_layers"])),
            weights.optional_norm("final_norm", "final_norm"),
            EPSILON,
            config["max_position_embeddings"],
        )
    except KeyError as error:
        raise ModelError(f"{folder} lacks the weight or the setting {error}.", hint="Copy the model again.") from error
