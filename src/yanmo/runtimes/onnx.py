"""ONNX Bundles; it knows no torch.

The text is tokenized as one column, and an engine computes batches of texts of about equal length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from yanmo.answers.choices import Choices
from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.batching import Batch, count_cells, infer_batches, plan_side_by_side, pool_windows
from yanmo.runtimes.engines import Engine, Feed, open_engine
from yanmo.runtimes.onnx_file import check_onnx
from yanmo.runtimes.unit_chain import as_choices, read_chain
from yanmo.tasks import task_of
from yanmo.text import tokenizer as tokenizers
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.unit_tokens import UnitTokenizer

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


class OnnxRuntime(Runtime[tokenizers.Encoded]):
    """The Runtime protocol for the format onnx; safe to use from several threads."""

    def __init__(self, bundle: Bundle, num_threads: int, engine: str = "onnxruntime") -> None:
        self._settings = _read_settings(bundle)
        self._num_classes = len(bundle.labels)
        self._link = task_of(bundle).link
        self._chain = read_chain(bundle)
        self._num_threads = num_threads
        self._max_length = bundle.max_length
        self._tokenizer = tokenizers.open_tokenizer(bundle.path / "tokenizer.json", max_length=bundle.max_length)
        # A tokenizer of its own, which takes time to make and is asked for units only.
        self._of_units = UnitTokenizer(self._tokenizer, bundle.max_length) if bundle.text_config.units else None
        check_onnx(bundle.path / ONNX_FILE, self._settings.inputs)
        self._engine: Engine = open_engine(engine, bundle.path / ONNX_FILE, num_threads)

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> tokenizers.Encoded:
        """Return the token ids of N cleaned texts."""
        if inputs.units is not None and self._of_units is not None:
            return self._of_units.encode(inputs.units, windows=windows)
        return tokenizers.encode_column(self._tokenizer, inputs.first, inputs.second, self._max_length, windows=windows)

    def score(self, encoded: tokenizers.Encoded) -> Inference[Choices]:
        """Return the scores of N encoded texts."""
        # The engine computes one batch a thread, so the plan depends on their number.
        plan = plan_side_by_side(encoded.ids.lengths_N, self._num_threads)
        logits_WC = infer_batches(
            encoded.ids,
            encoded.type_ids if self._settings.token_type else None,
            self._infer,
            plan=plan,
            pad_id=self._settings.pad_token_id,
            num_classes=self._num_classes,
            units=encoded.units,
        )
        logits_NC, found = pool_windows(encoded, logits_WC, count_cells(encoded.ids.lengths_N, plan))
        return Inference(as_choices(logits_NC, self._link, encoded, self._chain), found)

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
