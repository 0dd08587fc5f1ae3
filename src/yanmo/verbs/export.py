"""export: a torch Bundle to an ONNX Bundle; it checks, publishes what the graph module makes, and knows no torch."""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from yanmo.artifacts.base import publish
from yanmo.artifacts.bundle import Bundle, write_golden
from yanmo.artifacts.card import CARD, render_card
from yanmo.config import Config
from yanmo.errors import ArtifactError
from yanmo.protocols import IntArray
from yanmo.runtimes import onnx as onnx_runtime
from yanmo.runtimes.batching import make_batch
from yanmo.runtimes.onnx import ONNX_FILE, ONNX_SETTINGS, OnnxSettings
from yanmo.runtimes.predictor import Predictor, default_num_threads, golden_items
from yanmo.tasks import get_task
from yanmo.verbs.signature import verb

if TYPE_CHECKING:
    from yanmo.runtimes.pytorch import TorchRuntime

__all__ = ["ExportConfig", "export"]

logger = logging.getLogger(__name__)

EXAMPLE_TEXTS = ["a b", "很快 好吃, a longer text"]


class ExportConfig(Config):
    """What is made."""

    format: Literal["onnx"] = "onnx"
    """Format of the new Bundle: onnx, which runs on onnxruntime."""


@verb
def export(bundle: Bundle, config: ExportConfig, *, out: Path) -> Bundle:
    """Turn a torch Bundle into an ONNX Bundle that runs without torch.

    The new Bundle is published only if it answers the golden examples and 100 texts of random lengths as torch does.

    Args:
        bundle: A Bundle of format torch.
        config: What is made.
        out: Where the new Bundle appears.

    Raises:
        ArtifactError: The Bundle has another format.
        ModelError: The model has no ONNX form, or that answers differently.
        MissingExtraError: The packages that write ONNX files are not installed.
    """
    _check_format(bundle, config)
    info = {key: value for key, value in bundle.manifest.info.items() if key != "architecture"}
    info |= {"format": config.format, "architecture": bundle.architecture}
    dataset = {role: digest for role, digest in bundle.manifest.parents.items() if role == "dataset"}
    with publish(
        out,
        kind=Bundle.kind,
        verb="export",
        task=bundle.task,
        labels=bundle.labels,
        parents={"bundle": bundle.digest, **dataset},
        config=config.model_dump(mode="json"),
        seed=bundle.manifest.seed,
        info=info,
    ) as staging:
        _copy_text_files(bundle, staging)
        _write_card(bundle, staging, info)
        difference = _write_model(bundle, staging, info)
        logger.info("Probabilities differ from torch's by at most %.1g.", difference)
    return Bundle.open(out, verify=False)


def _check_format(bundle: Bundle, config: ExportConfig) -> None:
    if bundle.format == "torch":
        return
    state = "is exported" if bundle.format == config.format else "runs without torch"
    raise ArtifactError(
        f"export makes an {config.format} Bundle from a torch Bundle. {bundle.path} is of format {bundle.format}.",
        hint=f"It {state} already: serve it, or predict with it, as it is.",
    )


def _copy_text_files(bundle: Bundle, staging: Path) -> None:
    names = ["tokenizer.json", bundle.text_config.user_dict]
    for name in names:
        if name is not None:
            shutil.copyfile(bundle.path / name, staging / name)


def _write_card(bundle: Bundle, staging: Path, info: dict[str, Any]) -> None:
    summary = info.get("summary", {})
    scores = {name.removeprefix("valid_"): value for name, value in summary.items() if name.startswith("valid_")}
    card = render_card(
        model=bundle.model,
        format=info["format"],
        task=bundle.task,
        labels=bundle.labels,
        max_length=bundle.max_length,
        text=bundle.text_config,
        dataset_digest=bundle.manifest.parents.get("dataset", ""),
        scores=scores,
    )
    (staging / CARD).write_text(card, encoding="utf-8")


def _write_model(bundle: Bundle, staging: Path, info: dict[str, Any]) -> float:
    """Write the graph, its settings and the golden examples; return the largest difference from torch.

    Raises:
        ModelError: The graph cannot be made, or answers differently.
    """
    from yanmo.exporting.tracing import trace_graph
    from yanmo.exporting.parity import check_parity
    from yanmo.runtimes import pytorch

    num_threads = default_num_threads()
    reference = pytorch.open_runtime(bundle, device="cpu", num_threads=num_threads)
    example = _example(bundle, reference)
    settings = OnnxSettings(list(example), reference.pad_id, "token_type_ids" in example)
    (staging / ONNX_SETTINGS).write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
    (staging / ONNX_FILE).parent.mkdir()
    (staging / ONNX_FILE).write_bytes(trace_graph(reference.module, reference.forward, example))
    made = Bundle(staging, msgspec.structs.replace(bundle.manifest, info=info, files={}), "")
    candidate = onnx_runtime.open_runtime(made, device="cpu", num_threads=num_threads)
    pipeline, golden = bundle.text_pipeline(), bundle.golden()
    difference = check_parity(
        reference,
        candidate,
        pipeline.apply(golden.texts),
        pipeline.apply(golden.texts_b) if golden.texts_b is not None else None,
        activate=get_task(bundle.task).activate,
        max_length=bundle.max_length,
    )
    probabilities_NC = Predictor(made, candidate).predict_proba(golden_items(golden))
    write_golden(staging, golden.texts, golden.texts_b, probabilities_NC)
    return difference


def _example(bundle: Bundle, reference: "TorchRuntime") -> dict[str, IntArray]:
    """Return the inputs that the graph is traced with: a batch of real token ids with padding in it."""
    texts = [text[: bundle.max_length] for text in EXAMPLE_TEXTS]
    encoded = reference.encode(texts, texts if get_task(bundle.task).num_texts == 2 else None)
    batch = make_batch(encoded.ids, encoded.type_ids, np.arange(len(texts)), reference.pad_id)
    inputs = {"input_ids": batch.ids_BT, "attention_mask": batch.mask_BT}
    return inputs | ({"token_type_ids": batch.token_type_BT} if batch.token_type_BT is not None else {})
