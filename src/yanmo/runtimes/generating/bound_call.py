"""A call of an onnxruntime session whose inputs and outputs are numpy arrays where they stand; it knows no model.

What is bound once is read and written anew at every run, and nothing is copied.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy.typing as npt
import onnxruntime

from yanmo.errors import ArtifactError

__all__ = ["BoundCall"]


class BoundCall:
    """The arrays of one shape of call, bound to a graph.

    Args:
        session: Of the graph.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._binding = session.io_binding()

    def bind_input(self, name: str, values: npt.NDArray[Any]) -> None:
        """Let an input be read from an array; it must be contiguous, and live as long as the call."""
        # By address: onnxruntime would copy an array that it is given, and see no change in it.
        self._binding.bind_input(name, "cpu", 0, values.dtype.type, values.shape, _address(values))

    def bind_output(self, name: str, values: npt.NDArray[Any]) -> None:
        """Let an output be written into an array, as above."""
        self._binding.bind_output(name, "cpu", 0, values.dtype.type, values.shape, _address(values))

    def run(self) -> None:
        """Compute the graph.

        Raises:
            ArtifactError: onnxruntime cannot.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise ArtifactError(
                f"onnxruntime {onnxruntime.__version__} cannot compute the model's graph: {error}.",
                hint="Tokenizer and graph may not belong together: export the Bundle again.",
            ) from error


def _address(values: npt.NDArray[Any]) -> int:
    address = values.ctypes.data_as(ctypes.c_void_p).value
    return address or 0
