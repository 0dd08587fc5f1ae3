"""The measuring process: ``python -m yanmo.measuring.benchmarking.child FOLDER`` reads and answers a request there.

The name of each step goes to standard output, one a line. An engine may kill this process with a signal, on a
processor it was not made for; whoever started it sees that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.parquet import write_parquet
from yanmo.errors import MissingExtraError, YanmoError
from yanmo.measuring.benchmarking.measuring import measure_bundle
from yanmo.measuring.benchmarking.requests import (
    ANSWER_FILE,
    EVIDENCE,
    REQUEST,
    MeasureBundle,
    Measurement,
    MeasurePeak,
)
from yanmo.runtimes.onnx import ONNX_FILE

__all__ = ["measure_request"]


def measure_request() -> int:
    """Answer the request in the folder that the arguments name."""
    folder = Path(sys.argv[1])
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=MeasureBundle | MeasurePeak)
    try:
        answer = Measurement(_answer(request, folder))
    except YanmoError as error:
        answer = Measurement(error=(type(error).__name__, error.message, error.hint))
    (folder / ANSWER_FILE).write_bytes(msgspec.json.encode(answer))
    return 0


def _answer(request: MeasureBundle | MeasurePeak, folder: Path) -> dict[str, Any]:
    if isinstance(request, MeasurePeak):
        _say("plain product")
        return _measure_peak(request)
    facts, evidence = measure_bundle(request, _say)
    write_parquet(pl.DataFrame(evidence.columns()), folder / EVIDENCE)
    return facts


def _measure_peak(request: MeasurePeak) -> dict[str, Any]:
    """Return the operations of a Bundle and of a plain product; or the reason why there is no such number."""
    bundle = Bundle.open(request.bundle, verify=False)
    # What is looked up and added, or put together of others, has no one product to be held against.
    if bundle.format not in {"onnx", "torch"}:
        return {"no_share": f"a Bundle of the format {bundle.format} is not made of matrix products"}
    try:
        from yanmo.exporting import products
    except MissingExtraError as error:
        return {"no_share": f"{error.message} {error.hint}"}
    if bundle.format == "onnx":
        operations = products.count_operations(bundle.path / ONNX_FILE)
    else:
        operations = _operations_of_encoder(bundle, products)
    if operations is None:
        return {"no_share": f"operations of a torch {bundle.model} are not counted; export it"}
    seconds = {"seconds": 0.0} if request.quick else {}
    return {
        "precision": operations.precision,
        "operations_per_token": operations.per_token,
        "operations_per_text": operations.per_text,
        "peak_operations_per_second": products.measure_peak(operations.precision, request.num_threads, **seconds),
    }


def _operations_of_encoder(bundle: Bundle, products: Any) -> Any:
    """Return the operations of a torch encoder by the sizes in its config; None if it does not say them."""
    path = bundle.path / "config.json"
    config = msgspec.json.decode(path.read_bytes()) if path.is_file() else {}
    names = ("num_hidden_layers", "hidden_size", "intermediate_size")
    if not all(isinstance(config.get(name), int) for name in names):
        return None
    layers, width, inner = (config[name] for name in names)
    # The pooler and the output layer, once a text.
    head = width * width + width * len(bundle.labels)
    # A layer has four square products and the two of its feed-forward part; each weight is a product and a sum.
    return products.Operations(2 * layers * (4 * width * width + 2 * width * inner), 2 * head, "fp32")


def _say(step: str) -> None:
    sys.stdout.write(f"{step}\n")
    # A pipe is no terminal: without it all steps would come together at the end.
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(measure_request())
