"""Which module runs a Bundle of each format, and the one way to it; what stands around a runtime is no matter here."""

from __future__ import annotations

import importlib
from typing import Any

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ConfigError
from yanmo.protocols import Runtime

__all__ = ["RUNTIMES", "open_runtime_of"]

RUNTIMES = {
    "torch": "yanmo.runtimes.pytorch",
    "onnx": "yanmo.runtimes.onnx",
    "ngram": "yanmo.runtimes.ngram",
    "linear": "yanmo.runtimes.linear",
    "window": "yanmo.runtimes.window",
    "hmm": "yanmo.runtimes.hmm",
    "arcs": "yanmo.runtimes.arcs",
    "kneser-ney": "yanmo.runtimes.kneser_ney",
    "pairs": "yanmo.runtimes.pairs",
    "ensemble": "yanmo.runtimes.composite",
    "cascade": "yanmo.runtimes.composite",
    "decoder": "yanmo.runtimes.decoder",
    "encoder-decoder": "yanmo.runtimes.encoder_decoder",
}
"""Format to module."""


def open_runtime_of(
    bundle: Bundle, *, num_threads: int, device: str = "cpu", runtime: str | None = None
) -> Runtime[Any]:
    """Return what runs a Bundle; arguments as of ``predictor.open_bundle``.

    Raises:
        ConfigError: A Bundle of another format was given an engine.
    """
    module = importlib.import_module(RUNTIMES[bundle.format])
    options = {"device": device, "num_threads": num_threads}
    if runtime is not None and (bundle.format == "onnx" or bundle.is_composite):
        options["engine"] = runtime
    elif runtime is not None:
        raise ConfigError(
            f"The 'runtime' parameter is for ONNX Bundles; {bundle.path} is of format {bundle.format}.",
            hint="Leave it out, or export the Bundle first.",
        )
    opened: Runtime[Any] = module.open_runtime(bundle, **options)
    return opened
