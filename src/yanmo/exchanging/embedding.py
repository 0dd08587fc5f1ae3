"""From an encoder to a Bundle that gives vectors of texts: of a folder, a hub id, or a Bundle; it knows no verb."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanmo.answers.vectors import Vectors
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.card import find_licenses
from yanmo.artifacts.identity import folder_digest
from yanmo.errors import ArtifactError, ModelError, check_installed
from yanmo.exchanging.adopting import MAX_RANDOM, NUM_RANDOM, TOLERANCES, describe_source
from yanmo.exporting.parity import random_texts
from yanmo.models import ModelSpec
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig

__all__ = ["Embedder", "WantedEmbedder", "check_vectors", "open_embedder"]


@dataclass(frozen=True)
class WantedEmbedder:
    """What the user wants; the fields mean what they mean in the config of ``embed``."""

    pooling: Any = "auto"
    normalize: bool | None = None
    dimensions: int | None = None
    max_length: int | None = None
    revision: str | None = None
    offline: bool = False


@dataclass(frozen=True)
class Embedder:
    """An encoder that can be written into a Bundle.

    Attributes:
        info: Of the manifest.
        parents: Role to digest of what it is from.
        save: Writes its files into a folder.
        score: What transformers by itself answers to cleaned texts.
        commit: Of a hub id.
        license_files: Its licence and notices, which go along with it.
    """

    info: dict[str, Any]
    parents: dict[str, str]
    save: Callable[[Path], None]
    score: Callable[[Inputs], Any]
    commit: str = ""
    license_files: list[Path] = field(default_factory=list)


def open_embedder(spec: ModelSpec | Bundle, wanted: WantedEmbedder) -> Embedder:
    """Return the encoder that a name means, or that a Bundle has.

    Raises:
        ModelError: It is none, or not whole.
        ArtifactError: The Bundle has no encoder of transformers'.
        ConfigError: What was wanted does not suit it.
        MissingExtraError: The packages that open it are not installed.
    """
    check_installed("embed", "torch", "transformers", extra="train")
    from yanmo.modeling.adopted.sentence_encoders import WantedVectors, adopt_encoder
    from yanmo.modeling.pretrained.hub import find_folder
    from yanmo.modeling.pretrained.sentence_settings import read_sentence_settings

    is_bundle = isinstance(spec, Bundle)
    if isinstance(spec, Bundle):
        _check_encoder(spec)
        # Whole texts are read, also where the Bundle labels their units.
        folder, name, text = spec.path, spec.model, spec.text_config.model_copy(update={"units": None})
        wanted = _as_before(spec, wanted)
    else:
        folder, name = find_folder(spec, offline=wanted.offline, revision=wanted.revision), spec.name
        noted = read_sentence_settings(folder)
        text = TextConfig(cleaning=("lowercase",) if noted.lowers else (), prefix=noted.prompt)
    found = adopt_encoder(
        folder, WantedVectors(name, wanted.pooling, wanted.normalize, wanted.dimensions, wanted.max_length)
    )
    # The hub's cache names a snapshot's folder by its commit.
    commit = folder.name if isinstance(spec, ModelSpec) and spec.is_hub_id else ""
    source = spec.manifest.info.get("source") if isinstance(spec, Bundle) else describe_source(folder, name, commit)
    info = {
        "format": "torch",
        "model": name,
        "max_length": found.max_length,
        "architecture": found.architecture,
        "text": text.model_dump(mode="json"),
        **({"source": source} if source else {}),
    }
    parents = {"bundle": spec.digest} if isinstance(spec, Bundle) else {"checkpoint": folder_digest(folder)}
    return Embedder(info, parents, found.save, found.score, "" if is_bundle else commit, find_licenses(folder))


def _as_before(bundle: Bundle, wanted: WantedEmbedder) -> WantedEmbedder:
    """Return what is wanted, and where nothing is, what the Bundle has done until now."""
    kept = bundle.architecture.get("vectors", {"pooling": "auto", "are_unit": None})
    return dataclasses.replace(
        wanted,
        pooling=kept["pooling"] if wanted.pooling == "auto" else wanted.pooling,
        normalize=kept["are_unit"] if wanted.normalize is None else wanted.normalize,
        dimensions=wanted.dimensions or kept.get("num_dimensions"),
        max_length=wanted.max_length or bundle.max_length,
    )


def _check_encoder(bundle: Bundle) -> None:
    """Refuse a Bundle that is no encoder with its weights.

    Raises:
        ArtifactError: As said.
    """
    if bundle.format == "torch" and bundle.architecture.get("family") == "encoder":
        return
    hint = "Give the torch Bundle it was made from." if bundle.format == "onnx" else "Give an encoder, such as a BERT."
    raise ArtifactError(
        f"embed takes the torch Bundle of an encoder. {bundle.path} is {bundle.model}, of format {bundle.format}.",
        hint=hint,
    )


def check_vectors(made: Bundle, source: Embedder, inputs: Inputs) -> float:
    """Return the largest difference between the Bundle's vectors and transformers' own, as a share of their length.

    Args:
        made: The unfinished Bundle.
        source: Where it is from.
        inputs: Raw rows; random ones are added to them.

    Raises:
        ModelError: They differ too much.
    """
    made_up = random_texts(inputs.first, max_length=min(made.max_length, MAX_RANDOM), num_texts=NUM_RANDOM)
    asked = Inputs(([*inputs.first, *made_up],))
    with open_bundle(made, verify_golden=False) as predictor:
        ours, _ = predictor.infer(asked)
    theirs_ND = source.score(made.text_pipeline().read(asked))
    theirs = Vectors(theirs_ND, theirs_ND.shape[1], are_unit=False)
    difference = float(ours.distance_N(theirs).max())
    # In this form not a number is refused, too.
    if not difference <= TOLERANCES["fp32"]:
        raise ModelError(
            f"{made.model} would not answer as transformers does by itself: vectors differ by {difference:.2g} of "
            f"their length, more than {TOLERANCES['fp32']:g}, on {len(asked)} texts.",
            hint="Nothing was written. Its tokenizer may be another model's, or cut long texts in another way: try a "
            "smaller --max-length.",
        )
    return difference
