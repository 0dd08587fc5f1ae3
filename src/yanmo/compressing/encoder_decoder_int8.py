"""The 8-bit graphs of a model that writes a text from another: what the gate and the search need; it knows no verb."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from yanmo.answers.writings import Writings
from yanmo.artifacts.bundle import Bundle
from yanmo.runtimes.encoder_decoder import READING_FILE, WRITING_FILE, EncoderDecoderRuntime, open_session_of
from yanmo.text.inputs import Inputs

if TYPE_CHECKING:
    from yanmo.exporting.encoder_decoder_graph import AnsweringGraphs
    from yanmo.exporting.writing_layers import EncoderDecoderWeights

__all__ = ["EncoderDecoderQuantizer", "EncoderDecoderScorer"]

CANDIDATE = "candidate"


class EncoderDecoderQuantizer:
    """The Parts of a network: the layers of both sides, and its embeddings with the scores."""

    def __init__(self, network: EncoderDecoderWeights) -> None:
        self._network = network
        self._layers = (*network.reading, *network.writing)
        self.names: list[str] = [*(layer.name for layer in self._layers), "output"]

    def build(self, kept: Collection[str] = ()) -> AnsweringGraphs:
        """Return the ONNX files with some parts kept in fp32."""
        from yanmo.exporting.encoder_decoder_graph import write_answering

        products = [product.name for layer in self._layers if layer.name in kept for product in layer.products]
        return write_answering(self._network, is_int8=True, kept=[*products, *kept])


@dataclasses.dataclass(frozen=True)
class EncoderDecoderScorer:
    """Runs graphs on the same texts.

    Attributes:
        made: The unfinished Bundle, with all but the graphs.
        inputs: N rows.
        num_threads: To compute with.
    """

    made: Bundle
    inputs: Inputs
    num_threads: int

    def score(self, content: AnsweringGraphs) -> Writings:
        """Return what is written for N texts."""
        folder = self.made.path / CANDIDATE
        content.save(folder / READING_FILE, folder / WRITING_FILE)
        try:
            session = open_session_of(self.made, self.num_threads, folder=folder)
            scores: Writings = EncoderDecoderRuntime(self.made, session).infer(self.inputs).scores
            return scores
        finally:
            shutil.rmtree(folder)

    def sampled(self, num_texts: int) -> EncoderDecoderScorer:
        """Return one for some of the texts."""
        rows = np.unique(np.linspace(0, len(self.inputs) - 1, num_texts).round().astype(np.int64))
        return dataclasses.replace(self, inputs=self.inputs.take(rows))
