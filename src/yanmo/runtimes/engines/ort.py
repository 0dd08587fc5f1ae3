"""onnxruntime on the CPU: many batches run side by side, one thread each; a batch that is alone gets all threads.

Batches on threads of their own are 1.1 to 2 times as fast as one batch after the other on all threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from yanmo.arrays import FloatArray
from yanmo.errors import ArtifactError
from yanmo.runtimes.engines import Feed

__all__ = ["OrtEngine", "open_engine", "open_session"]

ERRORS_ONLY = 3
INTEGERS: dict[str, type[np.integer]] = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}


class OrtEngine:
    """The Engine protocol on onnxruntime; a session is made when it is first needed.

    Attributes:
        inputs: Names of the graph's inputs to their type.
    """

    def __init__(self, path: Path, num_threads: int) -> None:
        self._path = path
        self._num_threads = num_threads
        self._sessions: dict[int, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        self._num_calls = 0
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="yanmo-ort")
        session = self._session(num_threads)
        self.inputs: Mapping[str, type[np.integer]] = {
            one.name: INTEGERS.get(one.type, np.int64) for one in session.get_inputs()
        }

    def run(self, feeds: Sequence[Feed]) -> Iterable[FloatArray]:
        """Return logits_BC of every batch, in their order."""
        if self._num_threads == 1:
            return [_run(self._session(1), feed) for feed in feeds]
        with self._lock:
            self._num_calls += 1
            # All threads for one batch pay only where nothing else computes; else one thread a batch does more in all.
            is_alone = self._num_calls == 1
        try:
            if is_alone and len(feeds) == 1:
                return [_run(self._session(self._num_threads), feeds[0])]
            session = self._session(1)
            # A list: the call counts until its last batch is done. onnxruntime lets go of the GIL while it computes.
            return list(self._pool.map(lambda feed: _run(session, feed), feeds))
        finally:
            with self._lock:
                self._num_calls -= 1

    def _session(self, num_threads: int) -> onnxruntime.InferenceSession:
        # Two threads that need the same session must not both load it.
        with self._lock:
            if num_threads not in self._sessions:
                self._sessions[num_threads] = open_session(self._path, num_threads)
            return self._sessions[num_threads]


def open_engine(path: Path, num_threads: int) -> OrtEngine:
    """Return the engine for an ONNX file."""
    return OrtEngine(path, num_threads)


def open_session(path: Path, num_threads: int) -> onnxruntime.InferenceSession:
    """Return a CPU session that uses a given number of threads and every graph optimization.

    Raises:
        ArtifactError: onnxruntime cannot load the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    # Operators run one after the other; several threads share one operator.
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


def _run(session: onnxruntime.InferenceSession, feed: Feed) -> FloatArray:
    try:
        (logits_BC,) = session.run(["logits"], dict(feed))
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise ArtifactError(
            f"onnxruntime {onnxruntime.__version__} cannot compute the model's graph: {error}.",
            hint="Tokenizer and graph may not belong together: export the Bundle again.",
        ) from error
    return np.asarray(logits_BC, dtype=np.float32)
