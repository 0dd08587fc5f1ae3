"""The 8-bit Bundles of ``ngram`` and ``linear``: what the gate and the search need to build and to score them.

They keep their format, run on numpy alone and are unpacked when they are opened, so they are smaller and as fast.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from yanmo.artifacts.bundle import WEIGHTS, Bundle
from yanmo.runtimes.packed import KEY_BITS, Tensors, pack_columns, pack_keys, pack_positive
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs

__all__ = ["LIGHT_FORMATS", "LightQuantizer", "LightScorer", "write_settings"]

LIGHT_FORMATS = {"ngram": "ngram.json", "linear": "linear.json"}
"""Format to the file of its settings."""


class LightQuantizer:
    """The Quantizer of a Bundle that runs on numpy; its parts are whole tensors."""

    def __init__(self, bundle: Bundle) -> None:
        self._tensors: Tensors = load_file(bundle.path / WEIGHTS)
        self._build = _BUILDERS[bundle.format]
        self.names: list[str] = _PARTS[bundle.format]

    def build(self, kept: Collection[str] = ()) -> bytes:
        """Return the safetensors file with some parts kept in fp32."""
        return save({name: np.ascontiguousarray(one) for name, one in self._build(self._tensors, kept).items()})


def _build_ngram(tensors: Tensors, kept: Collection[str]) -> Tensors:
    packed = dict(tensors)
    for name in _PARTS["ngram"]:
        if name not in kept:
            packed |= pack_columns(name, tensors[name])
    return packed


def _build_linear(tensors: Tensors, kept: Collection[str]) -> Tensors:
    # Cut to fewer bits, some hashes become equal and all but one go: the other tensors have to follow.
    keys, rows = pack_keys("keys", tensors["keys"])
    idf, coef = tensors["idf"][rows], tensors["coef"][rows]
    return {
        **keys,
        **({"idf": idf} if "idf" in kept else pack_positive("idf", idf)),
        **({"coef": coef} if "coef" in kept else pack_columns("coef", coef)),
        # One number a label: 8 bits would save nothing.
        "intercept": tensors["intercept"],
    }


_PARTS = {"ngram": ["embedding", "hidden.weight", "out.weight"], "linear": ["idf", "coef"]}
_BUILDERS: dict[str, Callable[[Tensors, Collection[str]], Tensors]] = {"ngram": _build_ngram, "linear": _build_linear}


@dataclasses.dataclass(frozen=True)
class LightScorer:
    """Runs 8-bit weights on the same texts.

    Attributes:
        bundle: The fp32 Bundle.
        folder: With the settings of the new one; the weights are written there.
        inputs: N rows.
    """

    bundle: Bundle
    folder: Path
    inputs: Inputs

    def score(self, content: bytes) -> Any:
        """Return the scores of N texts."""
        (self.folder / WEIGHTS).write_bytes(content)
        made = Bundle(self.folder, self.bundle.manifest, "")
        with open_bundle(made, verify_golden=False) as predictor:
            return predictor.weigh(self.inputs)[0]

    def sampled(self, num_texts: int) -> LightScorer:
        """Return one for some of the texts."""
        rows = np.unique(np.linspace(0, len(self.inputs) - 1, num_texts).round().astype(np.int64))
        return dataclasses.replace(self, inputs=self.inputs.take(rows))


def write_settings(bundle: Bundle, folder: Path) -> None:
    """Write the settings of the 8-bit Bundle: those of the other, and how many bits of a hash its table holds."""
    name = LIGHT_FORMATS[bundle.format]
    settings: dict[str, Any] = json.loads((bundle.path / name).read_text(encoding="utf-8"))
    if bundle.format == "linear":
        settings["key_bits"] = KEY_BITS
    (folder / name).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
