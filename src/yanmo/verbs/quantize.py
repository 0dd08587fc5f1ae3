"""quantize: a Bundle to a smaller, faster one with 8-bit weights, if that costs little accuracy; it knows no torch."""

import dataclasses
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from yanmo.arrays import IntArray, take_rows
from yanmo.artifacts.bundle import WEIGHTS, Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.compressing.decoder_int8 import DecoderScorer, ProductsChoice, search_decoder
from yanmo.compressing.encoder_decoder_int8 import EncoderDecoderQuantizer, EncoderDecoderScorer
from yanmo.compressing.light_int8 import LIGHT_FORMATS, LightQuantizer, LightScorer, write_settings
from yanmo.compressing.quantizing import Gate, GatedModel, Scorer, check_max_drop, search, show_inputs
from yanmo.config import Config
from yanmo.errors import ArtifactError
from yanmo.exchanging.decoder_bundle import (
    holds_decoder,
    load_decoder_weights,
    write_decoder_files,
    write_decoder_graph,
)
from yanmo.exchanging.encoder_decoder_bundle import (
    holds_encoder_decoder,
    load_encoder_decoder_weights,
)
from yanmo.exchanging.onnx_bundle import Graph, encoder_graph, load_encoder, publish_from, traced_graph, write_graph
from yanmo.measuring.evaluation import load_split, load_texts, match_bundle, with_labels_of
from yanmo.runtimes.encoder_decoder import READING_FILE, WRITING_FILE
from yanmo.runtimes.heads import open_head
from yanmo.runtimes.onnx import ONNX_FILE, ONNX_SETTINGS, OnnxSettings
from yanmo.runtimes.predictor import default_num_threads, open_bundle
from yanmo.tasks import is_learned, task_of
from yanmo.text.inputs import Inputs
from yanmo.verbs.signature import verb

__all__ = ["QuantizeConfig", "quantize"]

logger = logging.getLogger(__name__)

ONNX_FIELDS = {"method", "granularity", "clipping", "reduce_range", "embeddings", "num_calibration_texts"}
"""Settings of graphs that answer; models on numpy and those that write have no use for them."""
WRITING_FIELDS = {"products"}
"""Settings of language models."""
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

    max_drop: Annotated[float, Field(ge=0)] = 0.005
    """Most of the task's headline, such as accuracy, that may be lost on the validation split, in its unit; the most
    harmful parts go back to fp32 until it holds. Of vectors: how far the rank correlation of similarities between fp32
    and 8 bits may be from 1."""

    products: ProductsChoice = "auto"
    """Of a language model with attention. blocks: a scale for each 32 weights of an output; rows: one for each output
    and token, which reads prompts faster and is less exact; auto: rows where this machine reads a fifth faster so and
    writes about as fast, and no part has to go back to fp32 for it."""

    num_valid_texts: Annotated[int, Field(ge=1)] | None = None
    """Validation texts on which accuracy is judged; by default all. With fewer, the interval of the drop is wider."""

    num_calibration_texts: Annotated[int, Field(ge=16)] = 1000
    """Training texts on which int8-static finds its scales."""

    num_threads: Annotated[int, Field(ge=1)] | None = None
    """Threads to compute with; by default one for each CPU that this process may use."""


@verb
def quantize(
    bundle: Bundle, dataset: Dataset, config: QuantizeConfig, *, out: Path, effects: Effects = NO_EFFECTS
) -> Bundle:
    """Make a Bundle with 8-bit weights, if that costs little accuracy.

    A torch or ONNX Bundle becomes an ONNX Bundle, a torch Bundle of a language model one of format decoder; ngram and
    linear keep their format. It is published only if it loses
    at most ``max_drop`` of the headline, such as accuracy, in its unit, on the validation split. Where all parts in 8
    bits lose more, those that change the scores most go back to fp32 one by one, and the manifest and the screen say
    which.

    Args:
        bundle: A single model in fp32.
        dataset: Its splits train (to calibrate) and valid (to judge); of a Bundle of vectors only their texts are read.
        config: How, and at what cost.
        out: Where the new Bundle appears.
        effects: Key and replacement of the call.

    Raises:
        ArtifactError: The Bundle is a composite or int8 already, or the Dataset lacks a split.
        ConfigError: More may be lost than there is.
        DataError: Task or labels of Bundle and Dataset differ.
        ModelError: Even one part in 8 bits loses too much.
        MissingExtraError: The packages that write ONNX files are not installed.
    """
    _check_format(bundle)
    if is_learned(bundle.task):
        dataset = with_labels_of([bundle], dataset)
        match_bundle(bundle, dataset)
    check_max_drop(task_of(bundle), config.max_drop, verb="quantize")
    config = config.model_copy(update={"num_threads": config.num_threads or default_num_threads()})
    kind, make = _maker(bundle)
    info = {**bundle.manifest.info, "format": kind, "precision": "int8"}
    return publish_from(
        bundle,
        verb="quantize",
        config=config.model_dump(mode="json"),
        info=info,
        parents={"dataset": dataset.digest},
        out=out,
        # _say writes into info, from which the manifest is made after this.
        make=lambda made: _say(bundle, made, make(bundle, made, dataset, config), config, info),
        effects=effects,
    )


def _maker(bundle: Bundle) -> tuple[str, Callable[[Bundle, Bundle, Dataset, QuantizeConfig], GatedModel[Any]]]:
    """Return the format of the new Bundle, and what makes it."""
    if bundle.format in LIGHT_FORMATS:
        return bundle.format, _make_light
    if holds_encoder_decoder(bundle):
        return "encoder-decoder", _make_encoder_decoder
    return ("decoder", _make_decoder) if holds_decoder(bundle) else ("onnx", _make_onnx)


def _check_format(bundle: Bundle) -> None:
    if bundle.format in ("ensemble", "cascade"):
        raise ArtifactError(
            f"quantize takes a single model. {bundle.path} is of format {bundle.format}.",
            hint=f"Quantize the members, then {bundle.format}.",
        )
    if bundle.format not in ("torch", "onnx", "decoder", "encoder-decoder", "window", *LIGHT_FORMATS):
        raise ArtifactError(
            f"quantize takes a model whose weights are numbers of 32 bits. {bundle.path} is of format {bundle.format}.",
            hint="Use it as it is.",
        )
    if bundle.manifest.info.get("precision", "fp32") != "fp32":
        raise ArtifactError(
            f"{bundle.path} is int8 already.", hint="Use it as it is, or give the Bundle that it was quantized from."
        )


def _say(bundle: Bundle, made: Bundle, outcome: GatedModel[Any], config: QuantizeConfig, info: dict[str, Any]) -> None:
    """Say what the new model costs, on the screen and in its manifest."""
    if outcome.kept:
        logger.warning("These parts stay fp32: %s.", ", ".join(outcome.kept))
    found, name = outcome.measured, outcome.measured.measure.name
    drop = {f"{name}_drop": found.drop, f"{name}_drop_interval": found.drop_interval}
    measured = {f"fp32_{name}": found.theirs, name: found.ours, **drop, "num_rows": found.num_rows}
    info["quantization"] = {"method": config.method, "kept_fp32": outcome.kept, **outcome.notes, **measured}
    # The unfinished folder has no manifest that could say it.
    size = sum(file.stat().st_size for file in made.path.rglob("*") if file.is_file())
    info["summary"] = {
        "precision": "int8",
        f"valid_{name}": round(found.ours, 6),
        **drop,
        "kept_fp32": outcome.kept,
        "size_ratio": round(size / bundle.size_bytes, 4),
    }


def _make_light(bundle: Bundle, made: Bundle, dataset: Dataset, config: QuantizeConfig) -> GatedModel[Any]:
    """Write the weights that pass the gate into the unfinished Bundle of a model that runs on numpy."""
    _say_unused(bundle.format, config, ONNX_FIELDS | WRITING_FIELDS)
    gate, inputs = _make_gate(bundle, dataset, config)
    write_settings(bundle, made.path)
    outcome = search(LightQuantizer(bundle), gate, LightScorer(bundle, made.path, inputs))
    (made.path / WEIGHTS).write_bytes(outcome.content)
    return outcome


def _make_decoder(bundle: Bundle, made: Bundle, dataset: Dataset, config: QuantizeConfig) -> GatedModel[Any]:
    """Write the graph of a language model that passes the gate into the unfinished Bundle."""
    _say_unused(made.format, config, ONNX_FIELDS)
    weights = load_decoder_weights(bundle)
    gate, inputs = _make_gate(bundle, dataset, config)
    write_decoder_files(bundle, made.path)
    scorer = DecoderScorer(made, bundle.text_pipeline().read(inputs), config.num_threads or 1)
    outcome = search_decoder(weights, gate, scorer, config.products)
    write_decoder_graph(made.path, outcome.content)
    return outcome


def _make_encoder_decoder(bundle: Bundle, made: Bundle, dataset: Dataset, config: QuantizeConfig) -> GatedModel[Any]:
    """Write the graphs of a model that writes a text from another, which pass the gate, into the unfinished Bundle."""
    _say_unused(made.format, config, ONNX_FIELDS | WRITING_FIELDS)
    quantizer = EncoderDecoderQuantizer(load_encoder_decoder_weights(bundle))
    gate, inputs = _make_gate(bundle, dataset, config)
    scorer = EncoderDecoderScorer(made, bundle.text_pipeline().read(inputs), config.num_threads or 1)
    outcome = search(quantizer, gate, scorer)
    outcome.content.save(made.path / READING_FILE, made.path / WRITING_FILE)
    return outcome


def _say_unused(kind: str, config: QuantizeConfig, unused: Collection[str]) -> None:
    # Only what was given: nobody is told about a default.
    for name in sorted(config.model_fields_set & set(unused)):
        logger.warning("The '%s' parameter has no effect on a Bundle of format %s.", name, kind)


def _make_gate(bundle: Bundle, dataset: Dataset, config: QuantizeConfig) -> tuple[Gate, Inputs]:
    """Return the gate, with what the fp32 Bundle answers to the validation texts, and these texts."""
    valid, order, targets = _judging(bundle, dataset)
    rows = _rows(valid, config.num_valid_texts)
    inputs = valid.take(rows)
    with open_bundle(bundle, num_threads=config.num_threads) as predictor:
        # The models alone are computed with; rules have their say whenever two of them are compared.
        reference = predictor.without_rules().weigh(inputs)[0]
    gate = Gate(
        predictor.task,
        # Activation needs the calibration and no model, so it works when the predictor is closed.
        lambda scores: predictor.activate(predictor.ruled(scores, inputs)).ordered(order),
        predictor.activate(reference) if targets is None else take_rows(targets, rows),
        reference,
        config.max_drop,
    )
    return gate, inputs


def _judging(bundle: Bundle, dataset: Dataset) -> tuple[Inputs, list[int], Any]:
    """Return the validation texts, the Bundle's column for each label, and the truth.

    Where there is no truth, None, the fp32 answers are what is to be kept.
    """
    if not is_learned(bundle.task):
        return load_texts(dataset, "valid", bundle), [], None
    valid = load_split(dataset, "valid")
    return valid.inputs, match_bundle(bundle, dataset), valid.targets


def _make_onnx(bundle: Bundle, made: Bundle, dataset: Dataset, config: QuantizeConfig) -> GatedModel[Any]:
    """Write the graph that passes the gate into the unfinished Bundle."""
    _say_unused(made.format, config, WRITING_FIELDS)
    gate, inputs = _make_gate(bundle, dataset, config)
    learned = is_learned(bundle.task)
    quantizer, settings = _make_quantizer(bundle, config)
    num_threads = config.num_threads or 1
    # The gate has just opened the same Bundle and asked its golden examples.
    with open_bundle(bundle, num_threads=num_threads, verify_golden=False) as opened:
        predictor = opened.without_rules()
        encoded = predictor.encode(inputs)
        scorer = Scorer(settings, encoded, open_head(bundle), made.path / "candidate.onnx", num_threads)
        if config.method == "int8-static":
            train = load_split(dataset, "train").inputs if learned else load_texts(dataset, "train", bundle)
            texts = predictor.encode(train.take(_rows(train, config.num_calibration_texts)))
            show_inputs(quantizer, dataclasses.replace(scorer, encoded=texts), clipping=config.clipping)
    outcome = search(quantizer, gate, scorer)
    write_graph(made.path, Graph(outcome.content, settings))
    return outcome


def _rows(inputs: Inputs, num_texts: int | None) -> IntArray:
    """Return the places of all rows, or of some from the whole split."""
    wanted = len(inputs) if num_texts is None else num_texts
    # Unique, as rounding names rows twice where more are wanted than there are.
    return np.unique(np.linspace(0, len(inputs) - 1, wanted).round().astype(np.int64))


def _make_quantizer(bundle: Bundle, config: QuantizeConfig) -> tuple[Any, OnnxSettings]:
    """Return what builds int8 graphs, and the graphs' settings."""
    from yanmo.exporting.int8 import EncoderQuantizer, Options, TracedQuantizer

    options = Options(
        kind=KINDS[config.method],  # type: ignore[arg-type]
        **config.model_dump(include={"granularity", "clipping", "reduce_range", "embeddings"}),
    )
    encoder = load_encoder(bundle)
    # The quantizer writes an encoder's graph anew by itself; of this one it needs the settings.
    graph = encoder_graph(bundle, encoder) if encoder else _traced(bundle)
    if encoder is None:
        return TracedQuantizer(graph.content, options), graph.settings
    is_pair = "token_type_ids" in graph.settings.inputs
    quantizer = EncoderQuantizer(encoder, options, max_length=bundle.max_length, is_pair=is_pair)
    return quantizer, graph.settings


def _traced(bundle: Bundle) -> Graph:
    import msgspec

    from yanmo.exporting.large_graphs import read_onnx

    if bundle.format == "onnx":
        settings = msgspec.json.decode((bundle.path / ONNX_SETTINGS).read_bytes(), type=OnnxSettings)
        return Graph(read_onnx(bundle.path / ONNX_FILE), settings)
    from yanmo.runtimes import pytorch

    return traced_graph(bundle, pytorch.open_labeler(bundle, device="cpu", num_threads=default_num_threads()))
