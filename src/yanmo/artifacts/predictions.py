"""Predictions: ids and probabilities of one Bundle over one set of texts; it knows no model.

The hinge of the system: ensembles, calibration, cascades, distillation and every metric are numpy over Predictions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from yanmo.answers.answered import Decided, Evidence
from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts.base import Artifact, Manifest
from yanmo.artifacts.copies import copy_artifact
from yanmo.artifacts.parquet import scan_parquet

__all__ = ["PREDICTIONS", "Predictions", "StoredPredictions", "predictions_frame"]

PREDICTIONS = "predictions.parquet"
PART = re.compile(r"part-(\d+)(?:-[0-9a-f]{8})?\.parquet")
"""Where they were made by many and stand in a bucket, their file stays in parts."""


class Predictions(Artifact):
    """Opened Predictions."""

    kind: ClassVar[str] = "predictions"

    def frame(self) -> pl.DataFrame:
        """Return the rows: ``id``, ``prediction``, ``probability``, ``probabilities`` (an array of width C).

        Those of a model of vectors have ``id`` and ``vector`` (an array of width D).

        Those of a cascade have ``stage``, from 1; where it abstained, ``prediction`` is null.
        """
        parts = {int(found[1]): name for name in self.manifest.files if (found := PART.fullmatch(name))}
        names = [parts[number] for number in sorted(parts)] or [PREDICTIONS]
        return scan_parquet(*(self.path / name for name in names)).collect()

    @property
    def ids(self) -> list[str]:
        """The rows' ids."""
        return self.frame()["id"].to_list()

    @property
    def probabilities_NC(self) -> FloatArray:
        """All probabilities, float32, shape (N, C), columns in label order."""
        column = self.frame()["probabilities"]
        return np.ascontiguousarray(column.to_numpy(), dtype=np.float32).reshape(len(column), len(self.labels))

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {**super().summary(), **self.manifest.info.get("summary", {})}


class StoredPredictions(Predictions):
    """Predictions at an address, which are copied to this machine when somebody reads them.

    Args:
        address: Of their folder.
        manifest: Theirs.
        digest: Of the manifest.
    """

    def __init__(self, address: str, manifest: Manifest, digest: str) -> None:
        super().__init__(Path(address), manifest, digest)
        self._address = address

    def frame(self) -> pl.DataFrame:
        """Return the rows."""
        return Predictions(copy_artifact(self._address, self.digest), self.manifest, self.digest).frame()

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {**super().summary(), "path": self._address}


def predictions_frame(
    ids: pl.Series, predictions: pl.Series, decided: Decided, evidence: Evidence, *, stage_N: IntArray | None = None
) -> pl.DataFrame:
    """Return rows of a Predictions artifact.

    Args:
        ids: N row ids, strings.
        predictions: What was decided, as the task's column; null where no answer is given, a column of nothing where
            nothing is ever decided.
        decided: The same, and how sure it is.
        evidence: From what.
        stage_N: Of a cascade, which stage answered, from 1.
    """
    columns = {"id": ids}
    # Where nothing is ever decided, as of vectors, there is nothing to be sure of.
    if predictions.dtype != pl.Null:
        columns |= {"prediction": predictions, "probability": pl.Series(decided.probability_N, dtype=pl.Float32)}
    columns |= evidence.columns()
    if stage_N is not None:
        columns["stage"] = pl.Series(stage_N, dtype=pl.Int8)
    return pl.DataFrame(columns)
