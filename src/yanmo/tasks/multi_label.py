"""Multi label: every text has any number of C labels, perhaps none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Decided
from yanmo.answers.choices import Choices
from yanmo.answers.links import SIGMOID, Link
from yanmo.arrays import FloatArray
from yanmo.metrics.labels import ACCURACY, MACRO_F1, MICRO_F1, WEIGHTED_F1
from yanmo.metrics.measures import Measure
from yanmo.tasks.labels import LabelTask, label_columns, read_json_labels, sort_labels

__all__ = ["MULTI_LABEL", "MultiLabel"]

THRESHOLD = 0.5


@dataclass(frozen=True)
class MultiLabel(LabelTask):
    """The task protocol for any number of labels a row."""

    name: str = "multi_label"
    inputs: tuple[str, ...] = ("text",)
    link: Link = SIGMOID
    measures: tuple[Measure, ...] = (MICRO_F1, ACCURACY, MACRO_F1, WEIGHTED_F1)

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:
        """Return lists of labels from separated text or JSON lists; what is neither becomes null.

        An empty cell is a row without labels; a missing one (null) is refused.
        """
        text = column.cast(pl.String).str.strip_chars()
        is_json_N, parsed = read_json_labels(text)
        # What begins like a list and is none was cut off, so it is no label of that name.
        is_json = text.str.starts_with("[") | pl.Series(is_json_N)
        separated = text.set(is_json, None).str.split(separator or ",")
        trimmed = separated.list.eval(pl.element().str.strip_chars())
        filled = trimmed.list.eval(pl.element().filter(pl.element() != ""))
        # A missing cell is null in both columns and stays so; an empty one has become an empty list.
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

    def decide(self, evidence: Choices, labels: Sequence[str], *, threshold: float | None = None) -> Decided:
        """Return the labels that are probable enough, and the probability of the least certain decision."""
        probabilities_NC = evidence.values_MC
        chosen_NC = self.choose(probabilities_NC) if threshold is None else probabilities_NC >= threshold
        sure_NC = np.where(chosen_NC, probabilities_NC, 1.0 - probabilities_NC)
        rows_M, columns_M = chosen_NC.nonzero()
        names = [labels[column] for column in columns_M.tolist()]
        # nonzero goes row by row, so the rows ascend and each one's labels stand together.
        ends = np.searchsorted(rows_M, np.arange(len(chosen_NC) + 1)).tolist()
        picked = [tuple(names[start:end]) for start, end in pairwise(ends)]
        return Decided(picked, np.asarray(sure_NC.min(axis=1, initial=1.0), dtype=probabilities_NC.dtype))

    def frame_type(self) -> pl.DataType:
        """Return the type of a list of labels."""
        return pl.List(pl.String)


MULTI_LABEL = MultiLabel()
