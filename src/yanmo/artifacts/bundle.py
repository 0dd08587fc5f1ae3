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
from typing import Annotated, Any, ClassVar, Self

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from yanmo.answers.answered import Evidence
from yanmo.artifacts.base import Artifact, Identity, publish
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.migrations import GOLDEN_STEPS, upgraded
from yanmo.artifacts.placing import MANIFEST
from yanmo.artifacts.predictions import Predictions
from yanmo.errors import ArtifactError
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline

__all__ = [
    "CHAIN",
    "COMPOSITES",
    "FORMATS",
    "GOLDEN",
    "MEMBERS",
    "OUT_OF_FOLD",
    "SEGMENTER",
    "TAGGER",
    "TAGS",
    "TREES",
    "WEIGHTS",
    "Bundle",
    "Golden",
    "copy_files",
    "draft",
    "publish_bundle",
    "write_golden",
]

FORMATS = (
    *("torch", "onnx", "decoder", "encoder-decoder", "ngram", "linear", "window", "hmm", "arcs", "kneser-ney", "pairs"),
    *("ensemble", "cascade"),
)
COMPOSITES = ("ensemble", "cascade")
WEIGHTS = "model.safetensors"
CHAIN = "chain.safetensors"
"""How the tags of neighboring units go together, of models that label units."""
TREES = "trees.safetensors"
"""How arcs and relations are scored from what a network says about words, of models of trees."""
TAGGER, TAGS = "tagger", "tags.json"
"""The folder of what tells a parser the kinds of words, and the names of these, in order, in it."""
SEGMENTER = "segmenter"
"""The folder of the Bundle that cuts raw texts into the words that a parser reads."""
MEMBERS = "members"
OUT_OF_FOLD = "out_of_fold"
GOLDEN = "golden.json"
GOLDEN_DECIMALS = {"fp32": 6, "int8": 4}
"""Precision of a Bundle to how closely it keeps its golden answers: a hundredth of what they may differ by, or less."""


@dataclass(frozen=True)
class Golden:
    """Raw texts and the evidence that the Bundle gave when it was made.

    Attributes:
        inputs: N rows.
        evidence: N rows, as the evidence's ``columns`` wrote them.
    """

    inputs: Inputs
    evidence: pl.DataFrame


class _GoldenFile(msgspec.Struct):
    """What ``golden.json`` holds, each by the name of its column."""

    inputs: Annotated[dict[str, list[str]], msgspec.Meta(min_length=1)]
    evidence: Annotated[dict[str, list[Any]], msgspec.Meta(min_length=1)]


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

    def members(self) -> list[Self]:
        """Return the Bundles that a composite is made of, in their order; of another format none.

        The composite's manifest holds the digest of their every file, so opening it has checked them too.
        """
        # Their names begin with the members' numbers.
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
            raw = upgraded(msgspec.json.decode(path.read_bytes()), self.manifest.schema_version, GOLDEN_STEPS)
            content = msgspec.convert(raw, _GoldenFile)
            inputs = Inputs(tuple(content.inputs.values()))
            evidence = pl.DataFrame(content.evidence)
            # All columns must be equally long: one number is left.
            num_rows = {*map(len, inputs.columns), evidence.height}
        except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError, PolarsError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}.", hint="Make the Bundle again.") from error
        if num_rows != {len(inputs)}:
            raise ArtifactError(f"{path} has not as many answers as texts.", hint="Make the Bundle again.")
        return Golden(inputs, evidence)

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
        # copytree asks about every folder; names are skipped at the top alone, so members keep their manifests.
        ignore=lambda place, _: skipped if Path(place) == bundle.path else set(),
        dirs_exist_ok=True,
    )


def write_golden(
    folder: Path, names: Sequence[str], inputs: Inputs, evidence: Evidence, *, precision: str = "fp32"
) -> None:
    """Write the golden examples of a Bundle into its staging folder.

    Args:
        folder: The staging folder.
        names: Of the columns that the task reads.
        inputs: N raw rows.
        evidence: What the Bundle answers to them.
        precision: Of the Bundle, ``fp32`` or ``int8``.
    """
    columns = {name: _rounded(column.to_list(), precision) for name, column in evidence.columns().items()}
    golden = {"inputs": dict(zip(names, map(list, inputs.columns), strict=True)), "evidence": columns}
    (folder / GOLDEN).write_bytes(msgspec.json.encode(golden))


def _rounded(value: Any, precision: str) -> Any:
    """Return numbers in lists of lists with as many digits as golden answers keep."""
    if isinstance(value, list):
        return [_rounded(one, precision) for one in value]
    return round(value, GOLDEN_DECIMALS[precision]) if isinstance(value, float) else value
