"""Bundles of format decoder, asked how likely the tokens of texts are; it writes none, and knows no torch.

A text that is longer than the model reads is read in windows. Each predicts what the one before it has not, so every
token but those of the first window has at least the overlap before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from yanmo.answers.answered import Found
from yanmo.answers.sequences import Sequences
from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts.bundle import Bundle
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.generator import CHUNK
from yanmo.runtimes.generating.sampling import log_likelihoods_WV
from yanmo.runtimes.generating.settings import DECODER_FILE, read_settings
from yanmo.runtimes.language_windows import count_overlap, describe_reading
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.language_tokens import LanguageTokenizer, TokenizedTexts

__all__ = ["DecoderRuntime", "open_runtime"]


class DecoderTexts(Struct, frozen=True):
    """N texts, ready to be scored.

    Attributes:
        texts: N texts.
        tokens: Of these.
        overlap: Tokens that a window but the first has in common with the one before it.
    """

    texts: list[str]
    tokens: TokenizedTexts
    overlap: int


class DecoderRuntime(Runtime[DecoderTexts]):
    """The Runtime protocol for the format decoder.

    Args:
        bundle: The Bundle.
        num_threads: Threads to compute with.
        path: Another graph than the Bundle's own.
        session: The Bundle's graph, where it is loaded; its first row is overwritten.
    """

    def __init__(
        self, bundle: Bundle, num_threads: int, path: Path | None = None, session: DecoderSession | None = None
    ) -> None:
        self._begin_id = read_settings(bundle).begin_id
        self._max_length = bundle.max_length
        self._tokenizer = LanguageTokenizer.open(bundle.path / "tokenizer.json", end=bundle.architecture.get("end"))
        graph = path or bundle.path / DECODER_FILE
        self._session = session or DecoderSession(
            graph, num_rows=1, max_length=bundle.max_length, num_threads=num_threads
        )

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> DecoderTexts:
        """Return the tokens of N texts; none is cut off."""
        overlap = count_overlap(self._max_length, windows)
        return DecoderTexts(list(inputs.first), self._tokenizer.encode(inputs.first), overlap)

    def reading(self, windows: Windows | None) -> dict[str, Any]:
        """Return the tokens that are read at once, how far the next window is, and what begins a text."""
        return describe_reading(self._tokenizer, self._begin_id, max_length=self._max_length, windows=windows)

    def score(self, encoded: DecoderTexts) -> Inference[Sequences]:
        """Return the log-likelihoods of the tokens of N texts."""
        ids, ends = encoded.tokens.ids.values, encoded.tokens.ids.offsets
        values_M = np.zeros(len(ids), np.float32)
        num_cells = 0
        for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            for first, likelihoods in self._score_text(ids[start:end], encoded.overlap):
                values_M[start + first : start + first + len(likelihoods)] = likelihoods
                num_cells += len(likelihoods)
        lengths_N = np.diff(ends)
        nothing_N = np.zeros_like(lengths_N)
        found = Found(lengths_N, nothing_N, nothing_N.astype(np.bool_), num_cells)
        return Inference(Sequences(values_M, ends, encoded.tokens.places, encoded.texts), found)

    def _score_text(self, ids_T: IntArray, overlap: int) -> Iterator[tuple[int, FloatArray]]:
        """Yield places in a text, and the log-likelihoods of the tokens from there on."""
        read_T = np.concatenate(([self._begin_id], ids_T))
        stride = max(self._max_length - overlap, 1)
        start, num_known = 0, 0
        while num_known < len(ids_T):
            # Behind the last token nothing is predicted, so it is not read.
            window = read_T[start : start + self._max_length][: len(ids_T) - start]
            likelihoods = self._score_window(window, ids_T[start : start + len(window)])
            yield num_known, likelihoods[num_known - start :]
            num_known = start + len(window)
            start += stride

    def _score_window(self, read_T: IntArray, next_T: IntArray) -> FloatArray:
        """Return the log-likelihood of the token behind each that is read."""
        found = []
        for start in range(0, len(read_T), CHUNK):
            part = read_T[start : start + CHUNK]
            logits_TV = self._session.extend(0, part, start, wanted_W=np.arange(len(part)))
            found.append(log_likelihoods_WV(logits_TV)[np.arange(len(part)), next_T[start : start + len(part)]])
        return np.concatenate(found)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> DecoderRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of a decoder Bundle."""
    return DecoderRuntime(bundle, num_threads)
