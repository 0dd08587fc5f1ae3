"""The graph of a language model, whatever its layers: one way from a folder to weights, and from these to a graph."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TypeAlias

import msgspec

from yanmo.exporting.decoder import DecoderWeights, read_decoder
from yanmo.exporting.decoder_graph import write_decoder
from yanmo.exporting.light_decoder import LightDecoder, is_light_decoder, read_light_decoder
from yanmo.exporting.light_decoder_graph import write_light_decoder
from yanmo.exporting.quantization import Products

__all__ = ["LanguageWeights", "read_language_model", "write_language_model"]

LanguageWeights: TypeAlias = DecoderWeights | LightDecoder


def read_language_model(folder: Path) -> LanguageWeights:
    """Return the weights of a Hugging Face folder.

    Raises:
        ModelError: The family has no graph here, a file cannot be read, or a weight is missing.
    """
    config = msgspec.json.decode((folder / "config.json").read_bytes())
    return read_light_decoder(folder) if is_light_decoder(config) else read_decoder(folder)


def write_language_model(
    weights: LanguageWeights, *, is_int8: bool, kept: Collection[str] = (), products: Products = "blocks"
) -> bytes:
    """Return the ONNX file.

    Args:
        weights: Of the model.
        is_int8: Whether products have 8-bit weights, and the embeddings, too.
        kept: Names of products that stay fp32 all the same.
        products: Those of layers in 8 bits with attention; others have blocks.

    Raises:
        ModelError: The file would be larger than ONNX allows.
    """
    if isinstance(weights, LightDecoder):
        return write_light_decoder(weights, is_int8=is_int8, kept=kept)
    return write_decoder(weights, is_int8=is_int8, kept=kept, products=products)
