"""ONNX Bundles; it knows no torch.

The text is tokenized as one column, and an engine computes batches of texts of about equal length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.batching import Batch, count_cells, infer_batches, plan_side_by_side
from yanmo.runtimes.engines import Engine, Feed, open_engine
from yanmo.runtimes.heads import open_head
from yanmo.runtimes.onnx_file import check_onnx
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.tokenizer import Encoded

__all__ = ["INPUTS", "ONNX_FILE", "ONNX_SETTINGS", "OnnxRuntime", "OnnxSettings", "make_feed", "open_runtime"]

ONNX_FILE = "onnx/model.onnx"
ONNX_SETTINGS = "onnx.json"

# Functions, so that a mask is made only for a graph that takes one.
INPUTS: Mapping[str, Callable[[Batch], npt.NDArray[np.integer]]] = {
    "input_ids": lambda batch: batch.ids_BT,
    "lengths": lambda batch: batch.lengths_B,
    "attention_mask": lambda batch: batch.mask_BT,
    "token_type_ids": lambda batch: np.zeros_like(batch.ids_BT) if batch.token_type_BT is None else batch.token_type_BT,
    "units": lambda batch: np.zeros(0, dtype=np.int64) if batch.units_U is None else batch.units_U,
}
"""What a graph may take, and where it is found in a batch."""


class OnnxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``onnx.json``.

    Attributes:
        inputs: Names of the graph's inputs, of :data:`INPUTS`.
        pad_token_id: The id that fills a batch up.
        token_type: Whether pairs mark the tokens of their second text.
    """

    inputs: list[str]
    pad_token_id: int
    token_type: bool


class OnnxRuntime(Runtime[Encoded]):
    """The Runtime protocol for the format onnx; safe to use from several threads."""

    def __init__(self, bundle: Bundle, num_threads: int, engine: str = "onnxruntime") -> None:
        self._settings = _read_settings(bundle)
        self._head = open_head(bundle)
        self._num_threads = num_threads
        check_onnx(bundle.path / ONNX_FILE, self._settings.inputs)
        self._engine: Engine = open_engine(engine, bundle.path / ONNX_FILE, num_threads)

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Encoded:
        """Return the token ids of N cleaned texts."""
        return self._head.encode(inputs, windows=windows)

    def score(self, encoded: Encoded) -> Inference[Any]:
        """Return the scores of N encoded texts."""
        # The engine computes one batch a thread, so the plan depends on their number.
        plan = plan_side_by_side(encoded.ids.lengths_N, self._num_threads)
        scores_WC = infer_batches(
            encoded.ids,
            encoded.type_ids if self._settings.token_type else None,
            self._infer,
            plan=plan,
            pad_id=self._settings.pad_token_id,
            num_classes=self._head.num_outputs,
            units=encoded.units,
            condenser=self._head.condenser(encoded),
        )
        return self._head.read(scores_WC, encoded, count_cells(encoded.ids.lengths_N, plan))

    def _infer(self, batches: list[Batch]) -> Iterable[FloatArray]:
        return self._engine.run([make_feed(batch, self._settings.inputs, self._engine.inputs) for batch in batches])


def make_feed(batch: Batch, names: Sequence[str], types: Mapping[str, type[np.integer]]) -> Feed:
    """Return what a graph takes of a batch.

    Args:
        batch: Padded token ids and their lengths.
        names: Of :data:`INPUTS`.
        types: Each input's integer type.
    """
    return {name: INPUTS[name](batch).astype(types[name], copy=False) for name in names}


def open_runtime(
    bundle: Bundle,
    *,
    device: str,  # noqa: ARG001 - one signature
    num_threads: int,
    engine: str = "onnxruntime",
) -> OnnxRuntime:
    """Return the runtime of an onnx Bundle."""
    return OnnxRuntime(bundle, num_threads, engine)


def _read_settings(bundle: Bundle) -> OnnxSettings:
    path = bundle.path / ONNX_SETTINGS
    try:
        return msgspec.json.decode(path.read_bytes(), type=OnnxSettings)
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Export the Bundle again.") from error
