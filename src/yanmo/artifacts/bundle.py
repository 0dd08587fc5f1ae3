"""A Bundle: one model that can answer, at rest; it knows nothing about how it is run and imports no torch.

Besides the weights of its format it holds the text settings, the labels, the maximum length, golden examples and a
model card.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import numpy as np

from yanmo.arrays import FloatArray
from yanmo.artifacts.base import MANIFEST, Artifact, Identity, publish
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.predictions import Predictions
from yanmo.errors import ArtifactError
from yanmo.text.pipeline import TextConfig, TextPipeline

__all__ = [
    "COMPOSITES",
    "FORMATS",
    "GOLDEN",
    "MEMBERS",
    "OUT_OF_FOLD",
    "READING",
    "WEIGHTS",
    "Bundle",
    "Golden",
    "copy_files",
    "draft",
    "publish_bundle",
    "write_golden",
]

FORMATS = ("torch", "onnx", "ngram", "linear", "ensemble", "cascade")
COMPOSITES = ("ensemble", "cascade")
READING = ("masked_lm", "replaced_tokens")
"""Tasks of encoders that have only learned to read: they have no labels and give no answers."""
WEIGHTS = "model.safetensors"
MEMBERS = "members"
OUT_OF_FOLD = "out_of_fold"
GOLDEN = "golden.json"
GOLDEN_DECIMALS = {"fp32": 6, "int8": 4}
"""Precision of a Bundle to how closely it keeps its golden answers: a hundredth of what they may differ by, or less."""


@dataclass(frozen=True)
class Golden:
    """Texts and the probabilities the Bundle gave when it was made.

    Attributes:
        texts: Raw texts.
        texts_b: The second texts of pairs, or None.
        probabilities_NC: float32, shape (N, C).
    """

    texts: list[str]
    texts_b: list[str] | None
    probabilities_NC: FloatArray


class Bundle(Artifact):
    """An opened Bundle."""

    kind: ClassVar[str] = "bundle"

    @property
    def format(self) -> str:
        """One of ``FORMATS``."""
        return str(self.manifest.info["format"])

    @property
    def model(self) -> str:
        """The name the model was trained under."""
        return str(self.manifest.info["model"])

    @property
    def max_length(self) -> int:
        """The most tokens the model reads of a text; 0 if it reads all of it."""
        return int(self.manifest.info["max_length"])

    @property
    def architecture(self) -> dict[str, Any]:
        """What the model's code needs besides the weights."""
        return dict(self.manifest.info.get("architecture", {}))

    @property
    def calibration(self) -> dict[str, Any] | None:
        """The calibration that is applied to the model's scores: method and parameters; None without one."""
        return self.manifest.info.get("calibration")

    @property
    def is_composite(self) -> bool:
        """Whether it is made of other Bundles."""
        return self.format in COMPOSITES

    @property
    def only_reads(self) -> bool:
        """Whether it is an encoder that gives no answers yet."""
        return self.task in READING

    def members(self) -> list[Self]:
        """Return the Bundles that a composite is made of, in their order; of another format none.

        The composite's manifest holds the digest of their every file, so opening it has checked them too.
        """
        folders = sorted(path for path in (self.path / MEMBERS).glob("*") if path.is_dir())
        return [type(self).open(folder, verify=False) for folder in folders]

    def out_of_fold(self) -> Predictions:
        """Return the model's answers to its own training rows, each by a model that had not learned from the row.

        Raises:
            ArtifactError: It was trained without folds.
        """
        if not (self.path / OUT_OF_FOLD).is_dir():
            raise ArtifactError(
                f"{self.path} has no out-of-fold predictions.", hint="Train it with folds: yanmo train … --folds 5"
            )
        return Predictions.open(self.path / OUT_OF_FOLD, verify=False)

    @property
    def text_config(self) -> TextConfig:
        """How the text is cleaned and segmented."""
        return TextConfig(**self.manifest.info["text"])

    def text_pipeline(self) -> TextPipeline:
        """Return the cleaning and segmentation, ready to run."""
        return TextPipeline(self.text_config, self.path)

    def golden(self) -> Golden:
        """Return the golden examples.

        Raises:
            ArtifactError: Their file is missing or damaged.
        """
        path = self.path / GOLDEN
        try:
            raw = msgspec.json.decode(path.read_bytes())
            probabilities_NC = np.array(raw["probabilities"], dtype=np.float32).reshape(
                len(raw["texts"]), len(self.labels)
            )
            return Golden(raw["texts"], raw["texts_b"], probabilities_NC)
        except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}.", hint="Make the Bundle again.") from error

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        info = {"model": self.model, "format": self.format, "max_length": self.max_length}
        return {**super().summary(), **info, **self.manifest.info.get("summary", {})}


def draft(folder: Path, identity: Identity) -> Bundle:
    """Return a Bundle that has no manifest yet, and is not whole before its folder is filled."""
    return Bundle(folder, identity.manifest(), "")


@contextlib.contextmanager
def publish_bundle(out: Path, identity: Identity, *, effects: Effects = NO_EFFECTS) -> Iterator[Bundle]:
    """Give an unfinished Bundle to fill; when the block ends well it appears at ``out``.

    It can be opened by a runtime as soon as the files that its format needs are there, for its golden answers.

    Args:
        out: Where it appears.
        identity: What its manifest says; what is added to its info inside the block is in the unfinished one, too.
        effects: Of the call that makes it.

    Raises:
        ArtifactError: ``out`` exists, or cannot be written.
        BusyError: Another process makes it.
    """
    with publish(out, identity, effects=effects) as staging:
        yield draft(staging, identity)


def copy_files(bundle: Bundle, folder: Path, *, without: Sequence[str] = ()) -> None:
    """Copy a Bundle's files but for its manifest and others that are named; those of the Bundles in it all go along."""
    skipped = {MANIFEST, *without}
    shutil.copytree(
        bundle.path,
        folder,
        ignore=lambda place, _: skipped if Path(place) == bundle.path else set(),
        dirs_exist_ok=True,
    )


def write_golden(
    folder: Path,
    texts: Sequence[str],
    texts_b: Sequence[str] | None,
    probabilities_NC: FloatArray,
    *,
    precision: str = "fp32",
) -> None:
    """Write the golden examples of a Bundle into its staging folder.

    Args:
        folder: The staging folder.
        texts: Raw texts, N of them.
        texts_b: The second texts of pairs, or None.
        probabilities_NC: What the Bundle answers, float32, shape (N, C).
        precision: Of the Bundle, ``fp32`` or ``int8``.
    """
    golden = {"texts": list(texts), "texts_b": list(texts_b) if texts_b is not None else None}
    digits = [[round(one, GOLDEN_DECIMALS[precision]) for one in row] for row in probabilities_NC.tolist()]
    content = msgspec.json.encode({**golden, "probabilities": digits})
    (folder / GOLDEN).write_bytes(content)
