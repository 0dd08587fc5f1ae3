"""From a Bundle to an ONNX Bundle: the graph, what belongs to the text, the card, the golden examples.

The verbs export and quantize stand on it. It knows no verb and no command line.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from tokenizers import Tokenizer

from yanmo.arrays import IntArray
from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import CHAIN, OUT_OF_FOLD, SEGMENTER, TAGGER, TREES, Bundle, publish_bundle, write_golden
from yanmo.artifacts.card import find_licenses, render_card, write_cards
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.silence import SILENCE
from yanmo.runtimes.batching import make_batch
from yanmo.runtimes.onnx import ONNX_FILE, ONNX_SETTINGS, OnnxSettings
from yanmo.runtimes.predictor import open_bundle
from yanmo.runtimes.rules import RULES
from yanmo.tasks import task_of
from yanmo.text.inputs import Inputs

if TYPE_CHECKING:
    from yanmo.exporting.encoder import Encoder
    from yanmo.exporting.encoder_graph import GraphPrecision
    from yanmo.runtimes.pytorch import TorchRuntime

__all__ = ["Graph", "encoder_graph", "load_encoder", "publish_from", "traced_graph", "write_graph"]

TOKENIZER = "tokenizer.json"
EXAMPLE_TEXTS = ["a b", "很快 好吃, a longer text"]


@dataclass(frozen=True)
class Graph:
    """An ONNX file with what the runtime must know of it."""

    content: bytes
    settings: OnnxSettings


def load_encoder(bundle: Bundle) -> Encoder | None:
    """Return the weights of a Bundle whose graph can be written from them, else None."""
    from yanmo.exporting.encoder_file import read_encoder
    from yanmo.exporting.encoder_folder import is_supported, read_folder

    if bundle.format == "onnx":
        return read_encoder(bundle.path / ONNX_FILE)
    if bundle.format != "torch" or bundle.architecture["family"] != "encoder":
        return None
    config = json.loads((bundle.path / "config.json").read_text(encoding="utf-8"))
    return read_folder(bundle.path) if is_supported(config) else None


def encoder_graph(
    bundle: Bundle, encoder: Encoder, precision: GraphPrecision | None = None, *, returns_inputs: bool = False
) -> Graph:
    """Return the graph that is written from an encoder's weights.

    Args:
        bundle: Whose encoder it is.
        encoder: From :func:`load_encoder`.
        precision: What of it is int8; None: nothing.
        returns_inputs: Also return every product's input.
    """
    from yanmo.exporting.encoder_graph import FP32, write_encoder

    architecture = bundle.architecture
    # A tagger's kinds of words are the types of their tokens.
    reads_types = len(task_of(bundle).inputs) > 1 or architecture.get("reads_kinds", False)
    is_pair = reads_types and bool(architecture["token_types"])
    content = write_encoder(
        encoder,
        max_length=bundle.max_length,
        is_pair=is_pair,
        precision=precision or FP32,
        returns_inputs=returns_inputs,
    )
    has_types = is_pair and encoder.types_SE is not None
    names = ["input_ids", "lengths", *(["token_type_ids"] if has_types else [])]
    names += ["units"] if encoder.pooling == "units" else []
    return Graph(content, OnnxSettings(names, int(architecture["pad_id"]), has_types))


def traced_graph(bundle: Bundle, reference: TorchRuntime) -> Graph:
    """Return the graph that torch traces.

    Args:
        bundle: A torch Bundle.
        reference: Its runtime.

    Raises:
        ModelError: The network has no ONNX form.
    """
    from yanmo.exporting.tracing import trace_graph

    example = _example(bundle, reference)
    content = trace_graph(reference.module, reference.forward, example)
    return Graph(content, OnnxSettings(list(example), reference.pad_id, "token_type_ids" in example))


def _example(bundle: Bundle, reference: TorchRuntime) -> dict[str, IntArray]:
    """Return the inputs that the graph is traced with: a batch of real token ids with padding in it."""
    texts = [text[: bundle.max_length] for text in EXAMPLE_TEXTS]
    inputs = Inputs((texts,) * len(task_of(bundle).inputs))
    encoded = reference.encode(bundle.text_pipeline().read(inputs))
    # A text that is cut into windows has several rows.
    batch = make_batch(encoded.ids, encoded.type_ids, np.arange(len(encoded.ids)), reference.pad_id, encoded.units)
    arrays = {
        "input_ids": batch.ids_BT,
        "attention_mask": batch.mask_BT,
        "token_type_ids": batch.token_type_BT,
        "units": batch.units_U,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def publish_from(
    bundle: Bundle,
    *,
    verb: str,
    config: Mapping[str, Any],
    info: dict[str, Any],
    parents: Mapping[str, str],
    out: Path,
    make: Callable[[Bundle], None],
    effects: Effects = NO_EFFECTS,
) -> Bundle:
    """Publish a Bundle made from another one.

    Args:
        bundle: Where texts, labels and golden examples come from.
        verb: Who makes it.
        config: The resolved config as plain JSON values.
        info: Of the new manifest; ``make`` may add to it.
        parents: Role to digest, besides the Bundle itself.
        out: Where it appears.
        make: Gets the unfinished Bundle in its staging folder and writes the model there, or raises.
        effects: Of the call that makes it.
    """
    identity = Identity(
        kind=Bundle.kind,
        verb=verb,
        task=bundle.task,
        labels=bundle.labels,
        parents={"bundle": bundle.digest, **parents},
        config=config,
        seed=bundle.manifest.seed,
        info=info,
    )
    with publish_bundle(out, identity, effects=effects) as made:
        copy_text_files(bundle, made.path)
        make(made)
        # After make, which may have added to info.
        _write_card(bundle, made.path, info)
        inputs, precision = bundle.golden().inputs, info.get("precision", "fp32")
        with open_bundle(made, verify_golden=False) as predictor:
            evidence, _ = predictor.infer(inputs)
        write_golden(made.path, predictor.task.inputs, inputs, evidence, precision=precision)
    # Its digests were taken from these files a moment ago.
    return Bundle.open(out, verify=False)


def copy_text_files(bundle: Bundle, folder: Path) -> None:
    """Copy what belongs to a Bundle's texts, if there: tokenizer (without its white space), tagger, dictionary, rules.

    Licences go along, too.
    """
    for path in find_licenses(bundle.path):
        shutil.copyfile(path, folder / path.name)
    if (bundle.path / TOKENIZER).is_file():
        Tokenizer.from_file(str(bundle.path / TOKENIZER)).save(str(folder / TOKENIZER), pretty=False)
    for name in (CHAIN, TREES, SILENCE, RULES):
        if (bundle.path / name).is_file():
            shutil.copyfile(bundle.path / name, folder / name)
    for beside in (bundle.text_config.user_dict, bundle.text_config.glossary):
        if beside is not None:
            shutil.copyfile(bundle.path / beside, folder / beside)
    for name in (OUT_OF_FOLD, TAGGER, SEGMENTER):
        if (bundle.path / name).is_dir():
            shutil.copytree(bundle.path / name, folder / name)


def write_graph(folder: Path, graph: Graph) -> None:
    """Write a graph and its settings into a Bundle's folder, over those that may be there."""
    from yanmo.exporting.large_graphs import write_onnx

    (folder / ONNX_SETTINGS).write_bytes(msgspec.json.format(msgspec.json.encode(graph.settings), indent=2) + b"\n")
    (folder / ONNX_FILE).parent.mkdir(exist_ok=True)
    write_onnx(graph.content, folder / ONNX_FILE)


def _write_card(bundle: Bundle, folder: Path, info: dict[str, Any]) -> None:
    summary = info.get("summary", {})
    scores = {name.removeprefix("valid_"): value for name, value in summary.items() if name.startswith("valid_")}
    card = partial(
        render_card,
        model=bundle.model,
        format=info["format"],
        task=bundle.task,
        labels=bundle.labels,
        max_length=bundle.max_length,
        text=bundle.text_config,
        scores=scores,
        dataset_digest=bundle.manifest.parents.get("dataset", ""),
        source=info.get("source"),
    )
    write_cards(folder, card)
