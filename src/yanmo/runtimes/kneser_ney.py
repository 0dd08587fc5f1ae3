"""Bundles of counted n-grams with numpy alone: how likely the tokens of whole columns are; it knows no torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from yanmo.answers.answered import Found
from yanmo.answers.sequences import Sequences
from yanmo.artifacts.bundle import Bundle
from yanmo.protocols import Inference, Runtime
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.ngram_language_model import NgramLanguageModel

__all__ = ["KneserNeyRuntime", "open_runtime"]


class KneserNeyRuntime(Runtime[Inputs]):
    """The Runtime protocol for the format kneser-ney; safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._model = NgramLanguageModel.open(bundle.path, end=bundle.architecture.get("end"))

    def encode(
        self,
        inputs: Inputs,
        *,
        windows: Windows | None = None,  # noqa: ARG002 - texts of any length are read as they are
    ) -> Inputs:
        """Return the texts: they are cut when they are scored."""
        return inputs

    def reading(self, windows: Windows | None) -> dict[str, Any]:  # noqa: ARG002
        """Return how many tokens are looked at, and what begins a text."""
        return {"order": self._model.order, "start_token": "<s>"}

    def score(self, encoded: Inputs) -> Inference[Sequences]:
        """Return the log-likelihoods of the tokens of N texts."""
        scores, unknown_N = self._model.score(encoded.first)
        lengths_N = np.diff(scores.ends)
        found = Found(lengths_N, unknown_N, np.zeros(len(encoded), dtype=np.bool_), int(lengths_N.sum()))
        return Inference(scores, found)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> KneserNeyRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of a kneser-ney Bundle."""
    return KneserNeyRuntime(bundle)
