"""ONNX Bundles on onnxruntime; it knows no torch.

The text is tokenized as one column, batches hold texts of about equal length, threads are set explicitly.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import onnxruntime

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError
from yanmo.protocols import FloatArray, Inference, Runtime, Windows
from yanmo.runtimes.batching import Batch, infer_batches, pool_windows
from yanmo.text import tokenizer as tokenizers

__all__ = ["ONNX_FILE", "ONNX_SETTINGS", "OnnxRuntime", "OnnxSettings", "open_runtime", "open_session"]

ONNX_FILE = "onnx/model.onnx"
ONNX_SETTINGS = "onnx.json"
ERRORS_ONLY = 3


class OnnxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``onnx.json``.

    Attributes:
        inputs: Names of the graph's inputs, of input_ids, attention_mask, token_type_ids.
        pad_token_id: The id that fills a batch up.
        token_type: Whether pairs mark the tokens of their second text.
    """

    inputs: list[str]
    pad_token_id: int
    token_type: bool


class OnnxRuntime(Runtime[tokenizers.Encoded]):
    """The Runtime protocol for the format onnx; safe to use from several threads."""

    def __init__(self, bundle: Bundle, num_threads: int) -> None:
        self._settings = _read_settings(bundle)
        self._num_classes = len(bundle.labels)
        self._max_length = bundle.max_length
        self._tokenizer = tokenizers.load(bundle.path / "tokenizer.json", max_length=bundle.max_length)
        self._session = open_session(bundle.path / ONNX_FILE, num_threads)
        _check_inputs(bundle, self._settings.inputs, [one.name for one in self._session.get_inputs()])

    def encode(
        self, texts: Sequence[str], texts_b: Sequence[str] | None = None, *, windows: Windows | None = None
    ) -> tokenizers.Encoded:
        """Return the token ids of N cleaned texts."""
        return tokenizers.encode_column(self._tokenizer, texts, texts_b, self._max_length, windows=windows)

    def score(self, encoded: tokenizers.Encoded) -> Inference:
        """Return the scores of N encoded texts."""
        logits_WC = infer_batches(
            encoded.ids,
            encoded.type_ids if self._settings.token_type else None,
            self._infer_batch,
            pad_id=self._settings.pad_token_id,
            num_classes=self._num_classes,
        )
        return pool_windows(encoded, logits_WC)

    def _infer_batch(self, batch: Batch) -> FloatArray:
        arrays = {
            "input_ids": batch.ids_BT,
            "attention_mask": batch.mask_BT,
            "token_type_ids": batch.token_type_BT if batch.token_type_BT is not None else np.zeros_like(batch.ids_BT),
        }
        (logits_BC,) = self._session.run(["logits"], {name: arrays[name] for name in self._settings.inputs})
        return np.asarray(logits_BC, dtype=np.float32)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> OnnxRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of an onnx Bundle."""
    return OnnxRuntime(bundle, num_threads)


def open_session(path: object, num_threads: int) -> onnxruntime.InferenceSession:
    """Return a CPU session that uses a given number of threads and every graph optimization.

    Raises:
        ArtifactError: onnxruntime cannot load the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise ArtifactError(
            f"onnxruntime {onnxruntime.__version__} cannot load {path}: {error}.",
            hint="Export the Bundle again, or install the onnxruntime version in its manifest.",
        ) from error


def _read_settings(bundle: Bundle) -> OnnxSettings:
    path = bundle.path / ONNX_SETTINGS
    try:
        return msgspec.json.decode(path.read_bytes(), type=OnnxSettings)
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Export the Bundle again.") from error


def _check_inputs(bundle: Bundle, declared: list[str], found: list[str]) -> None:
    if declared != found:
        raise ArtifactError(
            f"{bundle.path / ONNX_FILE} takes {', '.join(found)}, but {ONNX_SETTINGS} declares {', '.join(declared)}.",
            hint="Export the Bundle again.",
        )
