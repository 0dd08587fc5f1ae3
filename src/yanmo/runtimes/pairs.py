"""Bundles of joint n-grams with numpy alone: what is written for whole columns of texts; it knows no torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from yanmo.answers.answered import Found
from yanmo.answers.writings import Writings
from yanmo.artifacts.bundle import Bundle
from yanmo.protocols import Inference, Runtime
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.pair_model import PairModel

__all__ = ["PairRuntime", "open_runtime"]


class PairRuntime(Runtime[Inputs]):
    """The Runtime protocol for the format pairs; safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._model = PairModel.open(bundle.path)

    def encode(
        self,
        inputs: Inputs,
        *,
        windows: Windows | None = None,  # noqa: ARG002 - texts of any length are read as they are
    ) -> Inputs:
        """Return the texts: they are cut when others are written for them."""
        return inputs

    def reading(self, windows: Windows | None) -> dict[str, Any]:  # noqa: ARG002
        """Return what texts are cut into, and how many units are looked at."""
        pairs = self._model.pairs
        return {"order": self._model.order, "source_symbols": pairs.sources.cut, "target_symbols": pairs.targets.cut}

    def score(self, encoded: Inputs) -> Inference[Writings]:
        """Return what is written for N texts."""
        written, lengths_N, unknown_N = self._model.write(encoded.first)
        found = Found(lengths_N, unknown_N, np.zeros(len(encoded), dtype=np.bool_), int(lengths_N.sum()))
        return Inference(written, found)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> PairRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of a pairs Bundle."""
    return PairRuntime(bundle)
