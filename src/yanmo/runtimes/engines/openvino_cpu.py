"""OpenVINO on the CPU: many batches as asynchronous requests on one-thread streams, a single batch on all threads.

Its default precision is bf16 where the processor has it; it is set to fp32, which leaves int8 products int8.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.errors import ArtifactError
from yanmo.offline import without_module
from yanmo.runtimes.engines import Feed

with without_module("openvino_telemetry"):  # no variable silences it: with that module, openvino reports every import
    import openvino

__all__ = ["OpenVinoEngine", "open_engine"]

INTEGERS: dict[str, type[np.integer]] = {"i32": np.int32, "i64": np.int64}


class OpenVinoEngine:
    """The Engine protocol on OpenVINO; a compiled model is made when it is first needed.

    Attributes:
        inputs: Names of the graph's inputs to their type.
    """

    def __init__(self, path: Path, num_threads: int) -> None:
        self._num_threads = num_threads
        self._compiled: dict[int, Any] = {}
        # Requests belong to the engine, and each holds one batch: calls of other threads wait.
        self._lock = threading.RLock()
        self._core = openvino.Core()
        try:
            self._model = self._core.read_model(path)
        except RuntimeError as error:
            raise ArtifactError(
                f"OpenVINO {openvino.__version__} cannot load {path}: {str(error).strip().splitlines()[-1]}",
                hint="Use the runtime onnxruntime.",
            ) from error
        self.inputs: Mapping[str, type[np.integer]] = {
            one.get_any_name(): INTEGERS.get(one.get_element_type().get_type_name(), np.int64)
            for one in self._model.inputs
        }

    def run(self, feeds: Sequence[Feed]) -> Iterable[FloatArray]:
        """Return logits_BC of every batch, in their order."""
        with self._lock:
            if len(feeds) == 1 or self._num_threads == 1:
                request = self._requests(1)[0]
                return [_logits(request.infer(dict(feed))) for feed in feeds]
            return self._run_together(feeds)

    def _run_together(self, feeds: Sequence[Feed]) -> list[FloatArray]:
        """Keep as many requests under way as there are streams."""
        requests = self._requests(self._num_threads)
        done: list[FloatArray] = []
        for place, feed in enumerate(feeds):
            # Requests are used in turn, so the one that is waited for holds the oldest batch: results come in order.
            # They are read before the request starts again, which overwrites them.
            request = requests[place % len(requests)]
            if place >= len(requests):
                request.wait()
                done.append(_logits(request.results))
            request.start_async(dict(feed))
        for place in range(max(len(feeds) - len(requests), 0), len(feeds)):
            request = requests[place % len(requests)]
            request.wait()
            done.append(_logits(request.results))
        return done

    def _requests(self, num_streams: int) -> list[Any]:
        if num_streams not in self._compiled:
            options = {
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": self._num_threads,
                "NUM_STREAMS": num_streams,
            }
            compiled = self._core.compile_model(self._model, "CPU", options)
            self._compiled[num_streams] = [compiled.create_infer_request() for _ in range(num_streams)]
        return list(self._compiled[num_streams])


def open_engine(path: Path, num_threads: int) -> OpenVinoEngine:
    """Return the engine for an ONNX file."""
    return OpenVinoEngine(path, num_threads)


def _logits(results: Any) -> FloatArray:
    (values,) = results.to_tuple() if hasattr(results, "to_tuple") else tuple(results.values())
    # A copy: the values stand in the request's own memory.
    return np.array(values, dtype=np.float32)
