"""Engines that compute an ONNX file: one file each, one table; they know arrays, but no text and no Bundle.

An engine takes the batches of a call together, so that it can compute several at a time, and is safe to use from
several threads.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray
from yanmo.errors import ConfigError, check_installed, did_you_mean

__all__ = ["ENGINES", "Engine", "Feed", "check_engine", "installed_engines", "open_engine"]

Feed: TypeAlias = Mapping[str, npt.NDArray[np.integer]]
"""The inputs of one batch by name."""

ENGINES = {
    "onnxruntime": ("onnxruntime", "yanmo.runtimes.engines.ort"),
    "openvino": ("openvino", "yanmo.runtimes.engines.openvino_cpu"),
}
"""Name to the package it needs and the module it is in."""


class Engine(Protocol):
    """A loaded graph."""

    @property
    def inputs(self) -> Mapping[str, type[np.integer]]:
        """Names of the graph's inputs, in order, to their integer type."""
        ...

    def run(self, feeds: Sequence[Feed]) -> Iterable[FloatArray]:
        """Return logits_BC of every batch, in their order."""
        ...


def open_engine(name: str, path: Path, num_threads: int) -> Engine:
    """Return an engine that has loaded a graph.

    Args:
        name: A key of :data:`ENGINES`.
        path: The ONNX file.
        num_threads: Threads it may compute with, at least 1.

    Raises:
        ConfigError: There is no such engine.
        MissingExtraError: It is not installed.
        ArtifactError: It cannot load the file.
    """
    check_engine(name)
    engine: Engine = importlib.import_module(ENGINES[name][1]).open_engine(path, num_threads)
    return engine


def check_engine(name: str) -> None:
    """Refuse a name that no installed engine has.

    Raises:
        ConfigError: There is no such engine.
        MissingExtraError: It is not installed.
    """
    if name not in ENGINES:
        raise ConfigError(
            f"The 'runtime' parameter must be one of: auto, {', '.join(ENGINES)}. Got {name!r} instead."
            f"{did_you_mean(name, ENGINES)}",
            hint="Leave it out for onnxruntime; auto takes the fastest that is installed.",
        )
    package = ENGINES[name][0]
    check_installed(f"The runtime {name}", package, extra=package)


def installed_engines() -> list[str]:
    """Return the names of the engines whose packages are here."""
    return [name for name, (package, _) in ENGINES.items() if importlib.util.find_spec(package) is not None]
