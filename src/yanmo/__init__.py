"""Yanmo: from labelled text to the smallest, fastest language-model service that still meets your accuracy.

The public names are loaded on first use, so importing the package costs nothing and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from yanmo.offline import keep_silent

if TYPE_CHECKING:
    from yanmo.answers.answered import Span
    from yanmo.artifacts import Bundle, Dataset, Predictions, Report
    from yanmo.errors import YanmoError
    from yanmo.protocols import Prediction
    from yanmo.runtimes.generating.writer import Writer
    from yanmo.runtimes.generating.writer import open_writer as load_writer
    from yanmo.runtimes.predictor import Predictor
    from yanmo.runtimes.predictor import open_bundle as load
    from yanmo.serving.client import AsyncClient, Client

__version__ = "0.1.0"

keep_silent()  # here, since the libraries read it when they are imported, and this is imported before any of them

_NAMES = {
    "AsyncClient": "yanmo.serving.client",
    "Bundle": "yanmo.artifacts",
    "Client": "yanmo.serving.client",
    "Dataset": "yanmo.artifacts",
    "Prediction": "yanmo.protocols",
    "Predictions": "yanmo.artifacts",
    "Predictor": "yanmo.runtimes.predictor",
    "Report": "yanmo.artifacts",
    "Span": "yanmo.answers.answered",
    "Writer": "yanmo.runtimes.generating.writer",
    "YanmoError": "yanmo.errors",
}
_VERBS = (
    "adjust",
    "adopt",
    "audit",
    "benchmark",
    "calibrate",
    "cascade",
    "check",
    "distill",
    "doctor",
    "embed",
    "ensemble",
    "evaluate",
    "export",
    "generate",
    "grind",
    "init",
    "key",
    "pack",
    "predict",
    "prepare",
    "pretrain",
    "prune",
    "quantize",
    "run",
    "serve",
    "train",
    "tune",
)

__all__ = [
    "AsyncClient",
    "Bundle",
    "Client",
    "Dataset",
    "Prediction",
    "Predictions",
    "Predictor",
    "Report",
    "Span",
    "Writer",
    "YanmoError",
    "__version__",
    "adjust",
    "adopt",
    "audit",
    "benchmark",
    "calibrate",
    "cascade",
    "check",
    "distill",
    "doctor",
    "embed",
    "ensemble",
    "evaluate",
    "export",
    "generate",
    "grind",
    "init",
    "key",
    "load",
    "load_writer",
    "pack",
    "predict",
    "prepare",
    "pretrain",
    "prune",
    "quantize",
    "run",
    "serve",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name == "load":
        return importlib.import_module("yanmo.runtimes.predictor").open_bundle
    if name == "load_writer":
        return importlib.import_module("yanmo.runtimes.generating.writer").open_writer
    if name in _VERBS:
        return importlib.import_module("yanmo.verbs.signature").get_verb(name)
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'yanmo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
