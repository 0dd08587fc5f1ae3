"""Bundles that write token by token together, where all of them cut texts into the same tokens; it knows no engine."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError
from yanmo.protocols import AnswerSearch, AnswerWatcher, Inference, Runtime
from yanmo.runtimes.encoder_decoder import EncoderDecoderRuntime
from yanmo.runtimes.opening import open_runtime_of
from yanmo.runtimes.predictor import Predictor
from yanmo.text.inputs import Inputs, Windows

__all__ = ["TOKEN_MEAN", "TokenMeanRuntime"]

TOKEN_MEAN = "average-tokens"
"""The method of such ensembles."""


class TokenMeanRuntime(Runtime[Any]):
    """The Runtime protocol for members that write together; it takes raw texts.

    Args:
        members: Bundles that read texts alike and cut them into the same tokens.
        num_threads: To compute with; the members take turns at every token.

    Raises:
        ArtifactError: A member writes no texts token by token.
    """

    def __init__(self, members: Sequence[Bundle], num_threads: int) -> None:
        runtimes = []
        for member in members:
            runtime = open_runtime_of(member, num_threads=num_threads)
            if not isinstance(runtime, EncoderDecoderRuntime):
                raise ArtifactError(
                    f"{member.path} does not write token by token.",
                    hint="Only networks that write a text from another can do so together: use --method average.",
                )
            runtimes.append(runtime)
        # The first member cleans and cuts for all: they were made to do it alike.
        self._open(members[0], runtimes[0].together(runtimes[1:]))

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Any:
        """Return what every member reads of N raw rows."""
        return self._predictor.encode(inputs, windows=windows)

    def watched(self, encoded: Any, watcher: AnswerWatcher) -> Any:
        """Return encoded texts whose answers a watcher is told of while they are written."""
        return self._runtime.watched(encoded, watcher)

    def score(self, encoded: Any) -> Inference[Any]:
        """Return what the members write together for N encoded texts."""
        return self._predictor.score(encoded)

    def reading(self, windows: Windows | None) -> Any:
        """Return how texts are answered, as JSON values."""
        return self._runtime.reading(windows)

    def with_search(self, search: AnswerSearch) -> TokenMeanRuntime:
        """Return the same models with another search."""
        other = copy.copy(self)
        other._open(self._member, self._runtime.with_search(search))
        return other

    def gaps(self, inputs: Inputs) -> FloatArray:
        """Return 1 for each text: no answer hangs on a threshold or a vote."""
        return np.ones(len(inputs), dtype=np.float32)

    def _open(self, member: Bundle, runtime: EncoderDecoderRuntime) -> None:
        self._member, self._runtime = member, runtime
        self._predictor = Predictor(member, runtime)
