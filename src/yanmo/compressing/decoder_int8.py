"""The 8-bit graphs of a decoder: what the gate and the search need to build and to score them; it knows no verb."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from yanmo.answers.sequences import Sequences
from yanmo.artifacts.bundle import Bundle
from yanmo.compressing.quantizing import Gate, GatedModel, judge, search
from yanmo.exporting.decoder import DecoderWeights
from yanmo.exporting.quantization import Products
from yanmo.runtimes.decoder import DecoderRuntime
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.generator import CHUNK
from yanmo.text.inputs import Inputs

if TYPE_CHECKING:
    from yanmo.exporting.language_model import LanguageWeights

__all__ = ["DecoderQuantizer", "DecoderScorer", "ProductsChoice", "Times", "prefers_rows", "search_decoder"]

logger = logging.getLogger(__name__)

ProductsChoice = Literal["auto", "blocks", "rows"]
LEAST_GAIN, MOST_LOSS = 1.2, 1.1
"""By rows a prompt must be read this many times as fast to be worth their error, and a token be written no slower."""
NUM_ROUNDS, NUM_STEPS = 4, 16


class Times(NamedTuple):
    """How long a graph takes: to read a chunk of a prompt, and to write a token, in seconds."""

    reading: float
    step: float


class DecoderQuantizer:
    """The Parts of a decoder: its layers, and its embeddings with the scores, which share their weights.

    Args:
        decoder: Its weights.
        products: Those of its layers.
    """

    def __init__(self, decoder: LanguageWeights, products: Products = "blocks") -> None:
        self._decoder = decoder
        self._products = products
        # By layer: of the products in it the search would try four times as many graphs.
        self.names: list[str] = [*(layer.name for layer in decoder.layers), "output"]

    def build(self, kept: Collection[str] = ()) -> bytes:
        """Return the ONNX file with some parts kept in fp32."""
        from yanmo.exporting.language_model import write_language_model

        products = [product.name for layer in self._decoder.layers if layer.name in kept for product in layer.products]
        return write_language_model(self._decoder, is_int8=True, kept=[*products, *kept], products=self._products)


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
        with self._written(content) as path:
            scores: Sequences = DecoderRuntime(self.made, self.num_threads, path).infer(self.inputs).scores
            return scores

    def measure_times(self, contents: Sequence[bytes]) -> list[Times]:
        """Return how long this machine takes with each of some graphs, at best."""
        # The step behind a chunk needs room, too.
        length = min(CHUNK, self.made.max_length - 1)
        sessions = []
        for content in contents:
            with self._written(content) as path:
                sessions.append(DecoderSession(path, num_rows=1, max_length=length + 1, num_threads=self.num_threads))
        # In turns: whatever else the machine does meets all of them.
        rounds = [[_time(session, length) for session in sessions] for _ in range(NUM_ROUNDS)]
        return [Times(*map(min, zip(*found, strict=True))) for found in zip(*rounds, strict=True)]

    @contextmanager
    def _written(self, content: bytes) -> Iterator[Path]:
        path = self.made.path / "candidate.onnx"
        path.write_bytes(content)
        try:
            yield path
        finally:
            path.unlink()

    def sampled(self, num_texts: int) -> DecoderScorer:
        """Return one for some of the texts."""
        rows = np.unique(np.linspace(0, len(self.inputs) - 1, num_texts).round().astype(np.int64))
        return dataclasses.replace(self, inputs=self.inputs.take(rows))


def search_decoder(
    decoder: LanguageWeights, gate: Gate, scorer: DecoderScorer, products: ProductsChoice
) -> GatedModel[bytes]:
    """Return an 8-bit graph that passes the gate, and note which products its layers have.

    Args:
        decoder: The weights.
        gate: Judges graphs by how likely they find texts.
        scorer: Runs them on the validation texts.
        products: auto: rows, where they are worth it on this machine and no part has to go back to fp32 for them.

    Raises:
        ModelError: Each part that is int8 loses too much.
    """
    if not isinstance(decoder, DecoderWeights):
        if products == "rows":
            logger.warning("The 'products' parameter has no effect on a language model without attention.")
        return search(DecoderQuantizer(decoder), gate, scorer)
    found = _try_rows(decoder, gate, scorer) if products == "auto" else None
    kind: Products = products if products != "auto" else "blocks" if found is None else "rows"
    found = found or search(DecoderQuantizer(decoder, kind), gate, scorer)
    return dataclasses.replace(found, notes={"products": kind})


def prefers_rows(blocks: Times, rows: Times) -> bool:
    """Return whether products by rows are worth it."""
    return blocks.reading >= LEAST_GAIN * rows.reading and rows.step <= MOST_LOSS * blocks.step


def _try_rows(decoder: DecoderWeights, gate: Gate, scorer: DecoderScorer) -> GatedModel[bytes] | None:
    """Return the graph whose layers have products by rows, if it is worth it and passes the gate."""
    by_rows = DecoderQuantizer(decoder, "rows")
    blocks, rows = scorer.measure_times([DecoderQuantizer(decoder).build(), by_rows.build()])
    logger.info(
        "By rows prompts are read %.2f times as fast as by blocks, and tokens are written %.2f times as fast.",
        blocks.reading / rows.reading,
        blocks.step / rows.step,
    )
    if not prefers_rows(blocks, rows):
        return None
    found = judge(by_rows, gate, scorer)
    return found if gate.admits(found.measured) else None


def _time(session: DecoderSession, length: int) -> Times:
    ids_T, wanted_W, lengths_B = np.zeros(length, np.int64), np.array([length - 1]), np.array([length])
    ends = [time.perf_counter()]
    session.extend(0, ids_T, 0, wanted_W=wanted_W)
    ends.append(time.perf_counter())
    for _ in range(NUM_STEPS):
        session.step(ids_T[:1], lengths_B)
        ends.append(time.perf_counter())
    reading, *steps = np.diff(ends).tolist()
    # The shortest: a step is short enough to be interrupted by nothing now and then.
    return Times(reading, min(steps))
