"""A Dataset: cleaned-up splits with labels, what was refused, and a profile; it knows no token and no model.

Files: ``train/valid/test[/unlabeled].parquet`` with ``id, text[, text_b], label``, ``rejected.jsonl``,
``profile.json``, ``profile.html``, where whole texts are labeled ``tfidf.json``, and perhaps ``user_dict.txt``. The
text is stored as it was read: the cleaning is a setting that every reader of the text applies, so training and serving
cannot differ. Where parts of texts are labeled, a label is a list of tags, one a unit, null for a unit without one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from yanmo.artifacts.base import Artifact
from yanmo.artifacts.parquet import read_parquet
from yanmo.errors import ArtifactError, did_you_mean
from yanmo.text.pipeline import TextConfig, TextPipeline

__all__ = ["SPLITS", "Dataset"]

SPLITS = ("train", "valid", "test", "unlabeled")


class Dataset(Artifact):
    """An opened Dataset."""

    kind: ClassVar[str] = "dataset"

    @property
    def splits(self) -> list[str]:
        """The names of the splits it has, in their usual order."""
        # The manifest says what belongs to it; a file that somebody put beside the others is no split.
        return [name for name in SPLITS if f"{name}.parquet" in self.manifest.files]

    def split(self, name: str) -> pl.DataFrame:
        """Return one split: ``id, text[, text_b], label``; ``unlabeled`` has no label.

        Raises:
            ArtifactError: The Dataset has no such split.
        """
        return read_parquet(self.split_path(name))

    def split_path(self, name: str) -> Path:
        """Return the file of one split.

        Raises:
            ArtifactError: The Dataset has no such split.
        """
        if name not in self.splits:
            raise ArtifactError(
                f"{self.path} has no split '{name}'.{did_you_mean(name, self.splits)}",
                hint=f"It has: {', '.join(self.splits)}.",
            )
        return self.path / f"{name}.parquet"

    @property
    def text_config(self) -> TextConfig:
        """How the text is cleaned and segmented."""
        return TextConfig(**self.manifest.info["text"])

    @property
    def user_dict_path(self) -> Path | None:
        """The user dictionary of the segmenter, if there is one."""
        name = self.text_config.user_dict
        return self.path / name if name else None

    @property
    def glossary_path(self) -> Path | None:
        """How phrases are always written, if that is given."""
        name = self.text_config.glossary
        return self.path / name if name else None

    def text_pipeline(self) -> TextPipeline:
        """Return the cleaning and segmentation, ready to run."""
        return TextPipeline(self.text_config, self.path)

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {**super().summary(), "num_labels": len(self.labels), **self.manifest.info.get("summary", {})}
