"""Multi label: every text has any number of C labels, perhaps none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.links import SIGMOID, Link
from yanmo.arrays import FloatArray
from yanmo.protocols import Prediction
from yanmo.tasks.labels import label_columns, sort_labels

__all__ = ["MULTI_LABEL", "MultiLabel"]

THRESHOLD = 0.5


@dataclass(frozen=True)
class MultiLabel:
    """The task protocol for any number of labels a row."""

    name: str = "multi_label"
    num_texts: Literal[1, 2] = 1
    link: Link = SIGMOID

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:
        """Return lists of labels from separated text or JSON lists; what is neither becomes null.

        An empty cell is a row without labels; a missing one (null) is refused.
        """
        text = column.cast(pl.String).str.strip_chars()
        is_json = text.str.starts_with("[")
        parsed = text.set(~is_json, None).map_elements(_parse_json, return_dtype=pl.List(pl.String))
        separated = text.set(is_json, None).str.split(separator or ",")
        trimmed = separated.list.eval(pl.element().str.strip_chars())
        filled = trimmed.list.eval(pl.element().filter(pl.element() != ""))
        return parsed.zip_with(is_json.fill_null(value=False), filled).list.unique(maintain_order=True)

    def label_names(self, column: pl.Series) -> list[str]:
        """Return the distinct labels in their fixed order."""
        return sort_labels(column.drop_nulls().explode().drop_nulls().unique().to_list())

    def encode(self, column: pl.Series, labels: Sequence[str]) -> FloatArray:
        """Return multi-hot targets_NC, float32."""
        targets_NC = np.zeros((len(column), len(labels)), dtype=np.float32)
        rows_M = np.repeat(np.arange(len(column)), column.list.len().to_numpy())
        flat = column.filter(column.list.len() > 0).explode()
        targets_NC[rows_M, label_columns(flat, labels)] = 1.0
        return targets_NC

    def choose(self, probabilities_NC: FloatArray) -> npt.NDArray[np.bool_]:
        """Return True where a label is more probable than not."""
        return np.asarray(probabilities_NC >= THRESHOLD)

    def answer(self, probabilities_NC: FloatArray, labels: Sequence[str]) -> tuple[pl.Series, FloatArray]:
        """Return the more probable labels of every row, List(String), and the weakest decision's probability."""
        chosen_NC = self.choose(probabilities_NC)
        rows_M, columns_M = chosen_NC.nonzero()
        chosen = pl.DataFrame({"row": rows_M, "label": pl.Series(labels, dtype=pl.String).gather(columns_M)})
        lists = chosen.group_by("row", maintain_order=True).agg("label")
        rows = pl.DataFrame({"row": np.arange(len(chosen_NC))}).join(lists, on="row", how="left", maintain_order="left")
        return rows["label"].fill_null(pl.Series([[]], dtype=pl.List(pl.String))), self._weakest(probabilities_NC)

    def _weakest(self, probabilities_NC: FloatArray) -> FloatArray:
        """Return the probability of the least sure decision of every row, shape (N,)."""
        chosen_NC = self.choose(probabilities_NC)
        sure_NC = np.where(chosen_NC, probabilities_NC, 1.0 - probabilities_NC)
        return np.asarray(sure_NC.min(axis=1, initial=1.0), dtype=np.float32)

    def decode(self, probabilities_NC: FloatArray, labels: Sequence[str]) -> list[Prediction]:
        """Return the labels that are more probable than not; the probability is that of the weakest decision."""
        chosen_NC = self.choose(probabilities_NC)
        weakest_N = self._weakest(probabilities_NC).tolist()
        answers = []
        for chosen, row, weakest in zip(chosen_NC.tolist(), probabilities_NC.tolist(), weakest_N, strict=True):
            picked = tuple(label for label, yes in zip(labels, chosen, strict=True) if yes)
            answers.append(Prediction(picked, weakest, dict(zip(labels, row, strict=True))))
        return answers


def _parse_json(text: str) -> list[str] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    is_labels = isinstance(value, list) and all(isinstance(one, str | int) for one in value)
    return [name for one in value if (name := str(one).strip())] if is_labels else None


MULTI_LABEL = MultiLabel()
