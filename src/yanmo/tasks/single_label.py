"""Single label: every text has exactly one of C labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.links import SOFTMAX, Link
from yanmo.arrays import FloatArray
from yanmo.protocols import Prediction
from yanmo.tasks.labels import label_columns, sort_labels

__all__ = ["SINGLE_LABEL", "SingleLabel"]


@dataclass(frozen=True)
class SingleLabel:
    """The task protocol for one label a row, of one text or, as ``text_pair``, of two."""

    name: str = "single_label"
    num_texts: Literal[1, 2] = 1
    link: Link = SOFTMAX

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return the labels without surrounding white space; an empty one becomes null."""
        stripped = column.cast(pl.String).str.strip_chars()
        return stripped.set(stripped == "", None)

    def label_names(self, column: pl.Series) -> list[str]:
        """Return the distinct labels in their fixed order."""
        return sort_labels(column.drop_nulls().unique().to_list())

    def encode(self, column: pl.Series, labels: Sequence[str]) -> FloatArray:
        """Return one-hot targets_NC, float32."""
        targets_NC = np.zeros((len(column), len(labels)), dtype=np.float32)
        targets_NC[np.arange(len(column)), label_columns(column, labels)] = 1.0
        return targets_NC

    def choose(self, probabilities_NC: FloatArray) -> npt.NDArray[np.bool_]:
        """Return True at the most probable label of every row; the first of equals."""
        chosen_NC = np.zeros(probabilities_NC.shape, dtype=np.bool_)
        if len(probabilities_NC):
            chosen_NC[np.arange(len(probabilities_NC)), probabilities_NC.argmax(axis=1)] = True
        return chosen_NC

    def answer(self, probabilities_NC: FloatArray, labels: Sequence[str]) -> tuple[pl.Series, FloatArray]:
        """Return the most probable label of every row, String, and its probability, float32, shape (N,)."""
        best_N = probabilities_NC.argmax(axis=1)
        return pl.Series(labels, dtype=pl.String).gather(best_N), probabilities_NC[np.arange(len(best_N)), best_N]

    def decode(self, probabilities_NC: FloatArray, labels: Sequence[str]) -> list[Prediction]:
        """Return the most probable label of every row."""
        best_N = probabilities_NC.argmax(axis=1).tolist() if len(probabilities_NC) else []
        rows = probabilities_NC.tolist()
        return [
            Prediction(labels[best], row[best], dict(zip(labels, row, strict=True)))
            for best, row in zip(best_N, rows, strict=True)
        ]


SINGLE_LABEL = SingleLabel()
