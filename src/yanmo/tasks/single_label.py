"""Single label: every text has exactly one of C labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Decided
from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX, Link
from yanmo.arrays import FloatArray
from yanmo.metrics.labels import ACCURACY, MACRO_F1, MICRO_F1, WEIGHTED_F1
from yanmo.metrics.measures import Measure
from yanmo.tasks.labels import LabelTask, label_columns, read_json_labels, sort_labels

__all__ = ["SINGLE_LABEL", "SingleLabel"]


@dataclass(frozen=True)
class SingleLabel(LabelTask):
    """The task protocol for one label a row, of one text or, as ``text_pair``, of two."""

    name: str = "single_label"
    inputs: tuple[str, ...] = ("text",)
    link: Link = SOFTMAX
    measures: tuple[Measure, ...] = (ACCURACY, MACRO_F1, MICRO_F1, WEIGHTED_F1)

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return the labels without surrounding white space; an empty one becomes null.

        A JSON list of one label is that label; another list and an object become null.
        """
        text = column.cast(pl.String).str.strip_chars()
        is_json_N, lists = read_json_labels(text)
        only = lists.list.first().set(lists.list.len() != 1, None)
        return only.zip_with(pl.Series(is_json_N), text.set(text == "", None))

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
        # argmax refuses an array without columns, which is what no rows may come as.
        if len(probabilities_NC):
            chosen_NC[np.arange(len(probabilities_NC)), probabilities_NC.argmax(axis=1)] = True
        return chosen_NC

    def decide(self, evidence: Choices, labels: Sequence[str], *, threshold: float | None = None) -> Decided:
        """Return the most probable label of every row and its probability; below a threshold no label."""
        probabilities_NC = evidence.values_MC
        # Neither function takes an array without columns, which is what no rows may come as.
        if not len(probabilities_NC):
            return Decided([], np.zeros(0, dtype=np.float32))
        best_N = probabilities_NC.argmax(axis=1).tolist()
        decided = Decided([labels[best] for best in best_N], np.maximum.reduce(probabilities_NC, axis=1))
        return decided if threshold is None else decided.withhold(decided.probability_N < threshold)

    def frame_type(self) -> pl.DataType:
        """Return the type of a label."""
        return pl.String()


SINGLE_LABEL = SingleLabel()
