"""Predictions: ids and probabilities of one Bundle over one set of texts; it knows no model.

The hinge of the system: ensembles, calibration, cascades, distillation and every metric are numpy over Predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from yanmo.artifacts.base import Artifact
from yanmo.protocols import FloatArray, Prediction

__all__ = ["PREDICTIONS", "Predictions", "predictions_frame"]

PREDICTIONS = "predictions.parquet"


class Predictions(Artifact):
    """Opened Predictions."""

    kind: ClassVar[str] = "predictions"

    def frame(self) -> pl.DataFrame:
        """Return the rows: ``id``, ``prediction``, ``probability``, ``probabilities`` (an array of width C).

        Those of a cascade have ``stage``, from 1; where it abstained, ``prediction`` is null.
        """
        return pl.read_parquet(self.path / PREDICTIONS)

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


def predictions_frame(ids: Sequence[str], decoded: Sequence[Prediction], probabilities_NC: FloatArray) -> pl.DataFrame:
    """Return the rows of a Predictions artifact.

    Args:
        ids: N row ids.
        decoded: N answers.
        probabilities_NC: float32, shape (N, C).
    """
    num_classes = probabilities_NC.shape[1]
    labels = [list(one.label) if isinstance(one.label, tuple) else one.label for one in decoded]
    is_list = any(isinstance(label, list) for label in labels)
    is_staged = any(one.stage is not None for one in decoded)
    stages = {"stage": pl.Series([one.stage for one in decoded], dtype=pl.Int8)} if is_staged else {}
    return pl.DataFrame(
        {
            "id": pl.Series(list(ids), dtype=pl.String),
            "prediction": pl.Series(labels, dtype=pl.List(pl.String) if is_list else pl.String),
            "probability": pl.Series([one.probability for one in decoded], dtype=pl.Float32),
            "probabilities": pl.Series(probabilities_NC, dtype=pl.Array(pl.Float32, num_classes)),
            **stages,
        }
    )


def write_predictions(folder: Path, frame: pl.DataFrame) -> None:
    """Write the rows of a Predictions artifact into its staging folder."""
    frame.write_parquet(folder / PREDICTIONS, statistics=False)
