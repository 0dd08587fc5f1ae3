"""From a Bundle to a plain folder that transformers' own classes open, proved on golden texts; it knows no torch."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.answers.vectors import Vectors
from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.card import CARD, find_licenses, render_plain_card, write_cards
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import place_folder
from yanmo.errors import ArtifactError, ModelError
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import is_read, task_of

__all__ = ["PlainFolder", "write_folder"]

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4


@dataclass(frozen=True)
class PlainFolder:
    """A folder that was written.

    Attributes:
        path: Where it is.
        model: The name the model was trained under.
        largest_difference: Between the probabilities of transformers and of the Bundle, on the golden texts.
    """

    path: Path
    model: str
    largest_difference: float

    def summary(self) -> dict[str, Any]:
        """Return what is printed."""
        size_mb = round(sum(file.stat().st_size for file in self.path.iterdir()) / 1e6, 3)
        return {
            "kind": "folder",
            "path": str(self.path),
            "model": self.model,
            "size_mb": size_mb,
            "largest_difference": self.largest_difference,
        }


def write_folder(bundle: Bundle, out: Path, *, effects: Effects) -> PlainFolder:
    """Write a Bundle as transformers saves its models: config, weights, tokenizer, card.

    Args:
        bundle: A torch Bundle of an encoder; its calibration goes into the last layer.
        out: Where the folder appears.
        effects: Whether one that stands there is replaced.

    Raises:
        ArtifactError: No class of transformers' holds such a Bundle.
        ModelError: They would not answer as it does.
    """
    _check_kind(bundle)
    if bundle.text_config.units is not None:
        raise ArtifactError(
            f"{bundle.path} labels the units of texts in a chain, which no class of transformers' does.",
            hint="Export it to onnx, or serve the Bundle as it is.",
        )
    from yanmo.modeling.adopted import stock_models

    golden = bundle.golden()
    pipeline = bundle.text_pipeline()
    with place_folder(out, effects=effects) as staging:
        stock_models.write_plain(bundle.path, staging, max_length=bundle.max_length, **_calibration(bundle))
        source = bundle.manifest.info.get("source")
        write_cards(staging, partial(render_plain_card, bundle.model, bundle.labels, bundle.text_config, source))
        for path in find_licenses(bundle.path):
            shutil.copyfile(path, staging / path.name)
        # Opened from the disk again, as those will who get the folder.
        score = stock_models.open_plain(staging, max_length=bundle.max_length)
        with open_bundle(bundle, verify_golden=False) as predictor:
            ours, _ = predictor.infer(golden.inputs)
            # transformers cleans nothing, so it is given cleaned texts.
            theirs = ours.having(score(pipeline.read(golden.inputs))).activate()
        difference = float(np.nanmax(ours.distance_N(theirs), initial=0.0))
        # In this form not a number is refused, too.
        if not difference <= TOLERANCE:
            raise ModelError(
                f"transformers would not answer as {bundle.path} does: probabilities differ by {difference:.2g}.",
                hint="Nothing was written. Serve the Bundle as it is.",
            )
    if bundle.text_config.cleaning or bundle.text_config.segmenter != "none":
        logger.warning("The Bundle cleans or cuts every text first, which transformers does not: see %s.", out / CARD)
    return PlainFolder(out, bundle.model, float(f"{difference:.2g}"))


def _check_kind(bundle: Bundle) -> None:
    """Refuse what is no encoder with its weights, or has no head of transformers'.

    Raises:
        ArtifactError: As said.
    """
    if task_of(bundle).form is Vectors:
        raise ArtifactError(
            f"{bundle.path} gives vectors, and the classes of transformers that --to transformers writes give labels.",
            hint="The folder or hub id that it was made from opens with sentence-transformers. Export the Bundle to "
            "onnx, or serve it: /v1/embeddings.",
        )
    is_encoder = bundle.format == "torch" and bundle.architecture.get("family") == "encoder"
    if is_encoder and not is_read(bundle.task):
        return
    hint = "Give the torch Bundle it was made from." if bundle.format == "onnx" else "Serve the Bundle as it is."
    if is_encoder:
        hint = "It is such a folder as it stands: AutoModelForMaskedLM or AutoModelForPreTraining opens it."
    raise ArtifactError(
        f"No class of transformers' holds {bundle.path}: {bundle.model}, of format {bundle.format}.", hint=hint
    )


def _calibration(bundle: Bundle) -> dict[str, FloatArray]:
    """Return what the scores are multiplied by and what is added to them, where the Bundle is calibrated.

    Raises:
        ArtifactError: Its calibration is no such map.
    """
    found = bundle.calibration
    if found is None:
        return {}
    if found["method"] == "temperature":
        return {"scale_C": np.full(len(bundle.labels), 1 / found["temperature"], dtype=np.float32)}
    if found["method"] == "vector":
        return {f"{name}_C": np.asarray(found[name], dtype=np.float32) for name in ("scale", "bias")}
    raise ArtifactError(
        f"The calibration of {bundle.path} ({found['method']}) is no part of a network.",
        hint="Calibrate it by temperature or vector, or give the Bundle before it was calibrated.",
    )
