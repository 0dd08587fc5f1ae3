"""The 8-bit graphs of a decoder: what the gate and the search need to build and to score them; it knows no verb."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from yanmo.answers.sequences import Sequences
from yanmo.artifacts.bundle import Bundle
from yanmo.runtimes.decoder import DecoderRuntime
from yanmo.text.inputs import Inputs

if TYPE_CHECKING:
    from yanmo.exporting.language_model import LanguageWeights

__all__ = ["DecoderQuantizer", "DecoderScorer"]


class DecoderQuantizer:
    """The Parts of a decoder: its layers, and its embeddings with the scores, which share their weights."""

    def __init__(self, decoder: LanguageWeights) -> None:
        self._decoder = decoder
        # By layer: of the products in it the search would try four times as many graphs.
        self.names: list[str] = [*(layer.name for layer in decoder.layers), "output"]

    def build(self, kept: Collection[str] = ()) -> bytes:
        """Return the ONNX file with some parts kept in fp32."""
        from yanmo.exporting.language_model import write_language_model

        products = [product.name for layer in self._decoder.layers if layer.name in kept for product in layer.products]
        return write_language_model(self._decoder, is_int8=True, kept=[*products, *kept])


@dataclasses.dataclass(frozen=True)
class DecoderScorer:
    """Runs graphs on the same texts.

    Attributes:
        made: The unfinished Bundle, with all but the graph.
        inputs: N rows.
        num_threads: To compute with.
    """

    made: Bundle
    inputs: Inputs
    num_threads: int

    def score(self, content: bytes) -> Sequences:
        """Return the log-likelihoods of the tokens of N texts."""
        path: Path = self.made.path / "candidate.onnx"
        path.write_bytes(content)
        try:
            scores: Sequences = DecoderRuntime(self.made, self.num_threads, path).infer(self.inputs).scores
            return scores
        finally:
            path.unlink()

    def sampled(self, num_texts: int) -> DecoderScorer:
        """Return one for some of the texts."""
        rows = np.unique(np.linspace(0, len(self.inputs) - 1, num_texts).round().astype(np.int64))
        return dataclasses.replace(self, inputs=self.inputs.take(rows))
