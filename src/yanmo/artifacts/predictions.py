"""Predictions: ids and probabilities of one Bundle over one set of texts; it knows no model.

The hinge of the system: ensembles, calibration, cascades, distillation and every metric are numpy over Predictions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl

from yanmo.arrays import FloatArray
from yanmo.artifacts.base import Artifact
from yanmo.artifacts.parquet import read_parquet
from yanmo.protocols import Inference

__all__ = ["PREDICTIONS", "Predictions", "predictions_frame"]

PREDICTIONS = "predictions.parquet"


class Predictions(Artifact):
    """Opened Predictions."""

    kind: ClassVar[str] = "predictions"

    def frame(self) -> pl.DataFrame:
        """Return the rows: ``id``, ``prediction``, ``probability``, ``probabilities`` (an array of width C).

        Those of a cascade have ``stage``, from 1; where it abstained, ``prediction`` is null.
        """
        return read_parquet(self.path / PREDICTIONS)

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


def predictions_frame(
    ids: pl.Series,
    answers: pl.Series,
    probability_N: FloatArray,
    probabilities_NC: FloatArray,
    *,
    inference: Inference | None = None,
) -> pl.DataFrame:
    """Return rows of a Predictions artifact.

    Args:
        ids: N row ids, strings.
        answers: N labels, or lists of labels, as ``Task.answer`` returns them.
        probability_N: How sure each answer is, float32.
        probabilities_NC: float32, shape (N, C).
        inference: Of a cascade: which stage answered, and where it abstained.
    """
    frame = pl.DataFrame(
        {
            "id": ids,
            "prediction": answers,
            "probability": pl.Series(probability_N, dtype=pl.Float32),
            "probabilities": pl.Series(probabilities_NC, dtype=pl.Array(pl.Float32, probabilities_NC.shape[1])),
        }
    )
    if inference is None or inference.stage_N is None:
        return frame
    frame = frame.with_columns(pl.Series("stage", inference.stage_N, dtype=pl.Int8))
    if inference.abstained_N is not None:
        silent = pl.Series(inference.abstained_N)
        frame = frame.with_columns(pl.when(silent).then(None).otherwise(pl.col("prediction")).alias("prediction"))
    return frame
