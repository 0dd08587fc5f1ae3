"""Embedding: a text becomes a vector; nothing is decided, no label is known, and no Dataset is of this task.

What a model of it answers is held against the vectors of another one, such as those that it had before it was made
smaller: do both say of the same texts that they are alike?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Answered, Decided
from yanmo.answers.vectors import Vectors, unit_vectors
from yanmo.arrays import FloatArray
from yanmo.metrics.measures import Measure
from yanmo.metrics.neighborhoods import NEIGHBORHOOD_MEASURES, rank_statistics
from yanmo.protocols import Prediction, Task
from yanmo.text.inputs import Inputs

__all__ = ["EMBEDDING", "Embedding"]


@dataclass(frozen=True)
class Embedding(Task[Vectors]):
    """The task protocol for vectors of texts. Targets are the vectors of another model, evidence as its own."""

    name: str = "embedding"
    inputs: tuple[str, ...] = ("text",)
    measures: tuple[Measure, ...] = NEIGHBORHOOD_MEASURES
    form: type[Vectors] = Vectors
    head: str = "vectors"
    least_labels: int = 0
    reads_units: bool = False

    def of(self, labels: Sequence[str]) -> Embedding:  # noqa: ARG002 - there are none
        """Return the task itself."""
        return self

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return the column as it is: it has no label."""
        return column

    def label_names(self, column: pl.Series) -> list[str]:  # noqa: ARG002
        """Return no label."""
        return []

    def encode(self, column: pl.Series, labels: Sequence[str]) -> None:
        """Return nothing: labels say nothing about vectors."""

    def padded(self, targets: Vectors, inputs: Inputs) -> Vectors:  # noqa: ARG002
        """Return the targets."""
        return targets

    def is_one_answer(self, targets: Vectors) -> bool:  # noqa: ARG002
        """Return False: no two texts need have one vector."""
        return False

    def read(self, frame: pl.DataFrame) -> Vectors:
        """Return the Vectors that a frame holds."""
        return Vectors.read(frame)

    def decide(
        self,
        evidence: Vectors,
        labels: Sequence[str],  # noqa: ARG002
        *,
        threshold: float | None = None,  # noqa: ARG002
    ) -> Decided:
        """Return that nothing is decided."""
        return Decided([None] * len(evidence), self.confidence_N(evidence))

    def column(self, predictions: Sequence[None]) -> pl.Series:
        """Return a column of nothing."""
        return pl.Series("prediction", predictions, dtype=self.frame_type())

    def frame_type(self) -> pl.DataType:
        """Return the type of a column of nothing."""
        return pl.Null()

    def given(self, prediction: None) -> tuple[str, ...]:  # noqa: ARG002
        """Return no label."""
        return ()

    def columns_of(self, labels: Sequence[str]) -> dict[str, int]:  # noqa: ARG002
        """Return no label."""
        return {}

    def tell(self, answered: Answered[Vectors], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:
        """Return every text's vector."""
        del inputs, labels
        return [Prediction(None, 1.0, {}, vector=one) for one in answered.evidence.values_ND.tolist()]

    def statistics(self, evidence: Vectors, targets: Vectors) -> npt.NDArray[np.float64]:
        """Return what ``metrics.neighborhoods`` counts in each row."""
        return rank_statistics(unit_vectors(evidence.values_ND), unit_vectors(targets.values_ND))

    def losses_N(self, evidence: Vectors, targets: Vectors) -> npt.NDArray[np.float64]:
        """Return how far each vector is from its target."""
        return evidence.distance_N(targets).astype(np.float64)

    def losses_M(self, evidence: Vectors, targets: Vectors) -> npt.NDArray[np.float64]:
        """Return the same: a row has one vector."""
        return self.losses_N(evidence, targets)

    def truth(self, evidence: Vectors, targets: Vectors, *, most: int) -> npt.NDArray[np.float64]:  # noqa: ARG002
        """Return no probability: vectors are none."""
        return np.zeros(0)

    def answers(self, evidence: Vectors, targets: Vectors) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return no answer: a vector is neither right nor wrong."""
        del evidence, targets
        return np.zeros(0), np.zeros(0, dtype=np.bool_)

    def ballots(self, evidence: Vectors) -> Vectors:
        """Return the evidence: nothing is chosen."""
        return evidence

    def gap_N(self, evidence: Vectors) -> FloatArray:
        """Return 1 for every row: there is no other decision."""
        return np.ones(len(evidence), dtype=np.float32)

    def confidence_N(self, evidence: Vectors) -> FloatArray:
        """Return 1 for every row: nothing is unsure where nothing is decided."""
        return np.ones(len(evidence), dtype=np.float32)

    def same_N(self, evidence: Vectors, other: Vectors) -> npt.NDArray[np.bool_]:
        """Return which rows have the same vector, to a thousandth of its length."""
        return np.asarray(evidence.distance_N(other) < 1e-3)

    def right_N(self, evidence: Vectors, targets: Vectors) -> npt.NDArray[np.bool_]:  # noqa: ARG002
        """Return no row: a vector is neither right nor wrong."""
        return np.zeros(len(evidence), dtype=np.bool_)


EMBEDDING = Embedding()
