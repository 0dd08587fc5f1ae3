"""quantize: a Bundle to a smaller, faster one with 8-bit weights, if that costs little accuracy; it knows no torch."""

import dataclasses
import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.bundling.conversion import Graph, encoder_graph, load_encoder, publish_onnx, traced_graph, write_graph
from yanmo.bundling.quantizing import Gate, Scorer, calibrate, search
from yanmo.config import Config
from yanmo.errors import ArtifactError
from yanmo.measuring.evaluation import Split, load_split, match_labels
from yanmo.protocols import IntArray
from yanmo.runtimes.onnx import ONNX_FILE, ONNX_SETTINGS, OnnxSettings
from yanmo.runtimes.predictor import default_num_threads, open_bundle
from yanmo.tasks import get_task
from yanmo.verbs.signature import verb

__all__ = ["QuantizeConfig", "quantize"]

logger = logging.getLogger(__name__)

KINDS = {"int8-dynamic": "dynamic", "int8-static": "static", "weight-only": "weight-only"}


class QuantizeConfig(Config):
    """How weights and activations become eight bits, and what that may cost."""

    method: Literal["int8-static", "int8-dynamic", "weight-only"] = "int8-static"
    """int8-static: activations have a fixed scale, found on training texts, so a text's answer never depends on its
    batch; int8-dynamic: the scale is found anew in each batch; weight-only: only the weights are 8-bit, so the model is
    small, not faster."""

    granularity: Literal["per-channel", "per-tensor"] = "per-channel"
    """One scale for each output of a product, or one for all of them."""

    clipping: Literal["max", "mse", "percentile"] = "max"
    """Where the 8 bits end: at the largest magnitude; where the squared error is least; or at a percentile."""

    reduce_range: bool = True
    """Use 7 bits of the weights: without it, processors that lack VNNI can overflow and answer wrongly."""

    embeddings: bool = True
    """Also store the token embeddings in 8 bits."""

    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.005
    """Most accuracy that may be lost on the validation split; the most harmful parts go back to fp32 until it holds."""

    num_valid_texts: Annotated[int, Field(ge=1)] | None = None
    """Validation texts on which accuracy is judged; by default all. With fewer, the interval of the drop is wider."""

    num_calibration_texts: Annotated[int, Field(ge=16)] = 1000
    """Training texts on which int8-static finds its scales."""

    num_threads: Annotated[int, Field(ge=1)] | None = None
    """Threads to compute with; by default one for each CPU that this process may use."""


@verb
def quantize(bundle: Bundle, dataset: Dataset, config: QuantizeConfig, *, out: Path) -> Bundle:
    """Turn a torch or ONNX Bundle into an ONNX Bundle with 8-bit weights.

    It is published only if it loses at most ``max_drop`` of accuracy on the validation split. Where all parts in 8 bits
    lose more, those that change the scores most go back to fp32 one by one, and the manifest and the screen say which.

    Args:
        bundle: A Bundle of format torch or onnx in fp32.
        dataset: Its splits train (to calibrate) and valid (to judge).
        config: How, and at what cost.
        out: Where the new Bundle appears.

    Raises:
        ArtifactError: The Bundle has another format, or the Dataset lacks a split.
        DataError: Task or labels of Bundle and Dataset differ.
        ModelError: Even one part in 8 bits loses too much, or the Bundle is int8 already.
        MissingExtraError: The packages that write ONNX files are not installed.
    """
    _check_format(bundle)
    match_labels(bundle, dataset)
    config = config.model_copy(update={"num_threads": config.num_threads or default_num_threads()})
    info = {**bundle.manifest.info, "format": "onnx", "precision": "int8"}
    return publish_onnx(
        bundle,
        verb="quantize",
        config=config.model_dump(mode="json"),
        info=info,
        parents={"dataset": dataset.digest},
        out=out,
        make=lambda made: _make(bundle, made, dataset, config, info),
    )


def _check_format(bundle: Bundle) -> None:
    if bundle.format not in ("torch", "onnx"):
        raise ArtifactError(
            f"quantize makes an int8 Bundle from a torch or onnx Bundle. {bundle.path} is of format {bundle.format}.",
            hint="Quantize the members, then ensemble."
            if bundle.format in ("ensemble", "cascade")
            else "It runs on numpy alone, as it is.",
        )
    if bundle.manifest.info.get("precision", "fp32") != "fp32":
        raise ArtifactError(f"{bundle.path} is int8 already.", hint="Give the Bundle it was made from.")


def _make(bundle: Bundle, made: Bundle, dataset: Dataset, config: QuantizeConfig, info: dict[str, Any]) -> None:
    """Write the graph that passes the gate into the unfinished Bundle, and what it cost into its info."""
    valid = load_split(dataset, "valid")
    rows = _rows(valid, config.num_valid_texts)
    with open_bundle(bundle, num_threads=config.num_threads) as predictor:
        encoded = predictor.encode(*_columns(valid, rows))
        logits_NC = predictor.score(encoded)[1].logits_NC
    places = match_labels(bundle, dataset)
    targets_NC = np.empty_like(valid.targets_NC[rows])
    targets_NC[:, places] = valid.targets_NC[rows]
    gate = Gate(get_task(bundle.task), targets_NC, logits_NC, config.max_drop)
    quantizer, settings, fp32_bytes = _make_quantizer(bundle, config)
    scorer = Scorer(settings, encoded, len(bundle.labels), made.path / "candidate.onnx", config.num_threads or 1)
    if config.method == "int8-static":
        train = load_split(dataset, "train")
        texts = _columns(train, _rows(train, config.num_calibration_texts))
        with open_bundle(bundle, num_threads=config.num_threads, verify_golden=False) as predictor:
            calibrate(
                quantizer, dataclasses.replace(scorer, encoded=predictor.encode(*texts)), clipping=config.clipping
            )
    outcome = search(quantizer, gate, scorer)
    write_graph(made.path, Graph(outcome.content, settings))
    if outcome.kept:
        logger.warning("These parts stay fp32: %s.", ", ".join(outcome.kept))
    info["quantization"] = {"method": config.method, "kept_fp32": outcome.kept, **outcome.measured}
    info["summary"] = {
        "precision": "int8",
        "valid_accuracy": round(outcome.measured["accuracy"], 6),
        **{name: outcome.measured[name] for name in ("accuracy_drop", "accuracy_drop_interval")},
        "kept_fp32": outcome.kept,
        "model_size_ratio": round(len(outcome.content) / fp32_bytes, 4),
    }


def _rows(split: Split, num_texts: int | None) -> IntArray:
    """Return all rows, or some from the whole split."""
    wanted = split.frame.height if num_texts is None else num_texts
    return np.unique(np.linspace(0, split.frame.height - 1, wanted).round().astype(np.int64))


def _columns(split: Split, rows: IntArray) -> list[list[str]]:
    """Return the texts, and the second texts of pairs, of some rows."""
    names = [name for name in ("text", "text_b") if name in split.frame.columns]
    return [split.frame[name].gather(rows).to_list() for name in names]


def _make_quantizer(bundle: Bundle, config: QuantizeConfig) -> tuple[Any, OnnxSettings, int]:
    """Return what builds int8 graphs, the graphs' settings, and the bytes of the fp32 graph."""
    from yanmo.exporting.int8 import EncoderQuantizer, Options, TracedQuantizer

    options = Options(
        kind=KINDS[config.method],  # type: ignore[arg-type]
        **config.model_dump(include={"granularity", "clipping", "reduce_range", "embeddings"}),
    )
    encoder = load_encoder(bundle)
    graph = encoder_graph(bundle, encoder) if encoder else _traced(bundle)
    if encoder is None:
        return TracedQuantizer(graph.content, options), graph.settings, len(graph.content)
    is_pair = "token_type_ids" in graph.settings.inputs
    quantizer = EncoderQuantizer(encoder, options, max_length=bundle.max_length, is_pair=is_pair)
    return quantizer, graph.settings, len(graph.content)


def _traced(bundle: Bundle) -> Graph:
    import msgspec

    if bundle.format == "onnx":
        settings = msgspec.json.decode((bundle.path / ONNX_SETTINGS).read_bytes(), type=OnnxSettings)
        return Graph((bundle.path / ONNX_FILE).read_bytes(), settings)
    from yanmo.runtimes import pytorch

    return traced_graph(bundle, pytorch.open_runtime(bundle, device="cpu", num_threads=default_num_threads()))
