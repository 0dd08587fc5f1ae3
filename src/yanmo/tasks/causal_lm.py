"""Causal language model: every token of a text is predicted from those before it; there are no labels.

A Dataset's ``label`` is the number of characters at the beginning of a text that are given, such as a prompt: what
follows them is learned and measured, and they are only read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from yanmo.answers.answered import Answered, Decided
from yanmo.answers.sequences import Sequences
from yanmo.arrays import FloatArray, IntArray
from yanmo.metrics.language import LANGUAGE_MEASURES, language_statistics, text_sizes
from yanmo.metrics.measures import Measure
from yanmo.protocols import Prediction, Task
from yanmo.text.inputs import Inputs

__all__ = ["CAUSAL_LM", "CausalLm"]


@dataclass(frozen=True)
class CausalLm(Task[Sequences]):
    """The task protocol for texts that are predicted token by token; what is decided of a text is its log-likelihood.

    Targets are the first character of each row that counts, int64, shape (N,).
    """

    name: str = "causal_lm"
    inputs: tuple[str, ...] = ("text",)
    measures: tuple[Measure, ...] = LANGUAGE_MEASURES
    form: type[Sequences] = Sequences
    head: str = "sequences"
    least_labels: int = 0
    reads_units: bool = False

    def of(self, labels: Sequence[str]) -> CausalLm:  # noqa: ARG002 - there are none
        """Return the task itself."""
        return self

    def parse_labels(self, column: pl.Series, separator: str | None) -> pl.Series:  # noqa: ARG002
        """Return the lengths of prompts, which the reader of documents has counted."""
        return column.cast(pl.Int64)

    def label_names(self, column: pl.Series) -> list[str]:  # noqa: ARG002
        """Return no label."""
        return []

    def encode(self, column: pl.Series, labels: Sequence[str]) -> IntArray:  # noqa: ARG002
        """Return the first character of each row that counts, int64."""
        return np.asarray(column.to_numpy(), dtype=np.int64)

    def padded(self, targets: IntArray, inputs: Inputs) -> IntArray:
        """Return the targets of the first rows of inputs; of those behind them all that is there counts."""
        return np.concatenate((targets, np.zeros(len(inputs) - len(targets), dtype=np.int64)))

    def is_one_answer(self, targets: IntArray) -> bool:  # noqa: ARG002
        """Return False: there is always something to learn from a text."""
        return False

    def read(self, frame: pl.DataFrame) -> Sequences:
        """Return the Sequences that a frame holds."""
        return Sequences.read(frame)

    def decide(
        self,
        evidence: Sequences,
        labels: Sequence[str],  # noqa: ARG002
        *,
        threshold: float | None = None,
    ) -> Decided:
        """Return the log-likelihood of every text in nats, and the geometric mean of its tokens' probabilities."""
        decided = Decided(evidence.sums_N().tolist(), self.confidence_N(evidence))
        return decided if threshold is None else decided.withhold(decided.probability_N < threshold)

    def column(self, predictions: Sequence[float | None]) -> pl.Series:
        """Return the log-likelihoods as a column of Predictions."""
        return pl.Series("prediction", predictions, dtype=self.frame_type())

    def frame_type(self) -> pl.DataType:
        """Return the type of a log-likelihood."""
        return pl.Float64()

    def given(self, prediction: float | None) -> tuple[str, ...]:  # noqa: ARG002
        """Return no label."""
        return ()

    def columns_of(self, labels: Sequence[str]) -> dict[str, int]:  # noqa: ARG002
        """Return no label."""
        return {}

    def tell(self, answered: Answered[Sequences], inputs: Inputs, labels: Sequence[str]) -> list[Prediction]:
        """Return every text with its own measures, such as its bits a character."""
        del inputs, labels
        probabilities = answered.decided.probability_N.tolist()
        return [Prediction(None, *one) for one in zip(probabilities, self.details(answered.evidence), strict=True)]

    def details(self, evidence: Sequences) -> list[Mapping[str, float]]:
        """Return the log-likelihood of every text in nats, and its own measures."""
        statistics_NS = self.statistics(evidence, np.zeros(len(evidence), dtype=np.int64))
        # An empty text has no score, which is no error.
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = {one.name: one.of_sums(statistics_NS).tolist() for one in self.measures}
        scores = {"log_likelihood": evidence.sums_N().tolist(), **scores}
        return [dict(zip(scores, row, strict=True)) for row in zip(*scores.values(), strict=True)]

    def statistics(self, evidence: Sequences, targets: IntArray) -> npt.NDArray[np.float64]:
        """Return what ``metrics.language`` counts in each row."""
        tokens_N = np.bincount(evidence.row_M[evidence.counted_M(targets)], minlength=len(evidence))
        return language_statistics(self.losses_N(evidence, targets), tokens_N, text_sizes(evidence.texts, targets))

    def losses_N(self, evidence: Sequences, targets: IntArray) -> npt.NDArray[np.float64]:
        """Return each row's negative log-likelihood in nats, without what is given of it."""
        return np.asarray(-evidence.sums_N(targets), dtype=np.float64)

    def losses_M(self, evidence: Sequences, targets: IntArray) -> npt.NDArray[np.float64]:
        """Return the negative log-likelihood of every token that counts, in nats."""
        return -evidence.values_M[evidence.counted_M(targets)].astype(np.float64)

    def truth(self, evidence: Sequences, targets: IntArray, *, most: int) -> npt.NDArray[np.float64]:  # noqa: ARG002
        """Return the probability of every token that counts."""
        return np.exp(-self.losses_M(evidence, targets))

    def answers(self, evidence: Sequences, targets: IntArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return no answer: how likely a text is, is neither right nor wrong."""
        del evidence, targets
        return np.zeros(0), np.zeros(0, dtype=np.bool_)

    def ballots(self, evidence: Sequences) -> Sequences:
        """Return the evidence: nothing is chosen."""
        return evidence

    def gap_N(self, evidence: Sequences) -> FloatArray:
        """Return 1 for every row: there is no other decision."""
        return np.ones(len(evidence), dtype=np.float32)

    def confidence_N(self, evidence: Sequences) -> FloatArray:
        """Return the geometric mean of the probabilities of each row's tokens, 1 of a row without any."""
        return np.exp(evidence.sums_N() / np.maximum(np.diff(evidence.ends), 1)).astype(np.float32)

    def same_N(self, evidence: Sequences, other: Sequences) -> npt.NDArray[np.bool_]:
        """Return which rows are equally likely, to a thousandth of a nat a token."""
        return np.asarray(evidence.distance_N(other) < 1e-3)

    def right_N(self, evidence: Sequences, targets: IntArray) -> npt.NDArray[np.bool_]:  # noqa: ARG002
        """Return no row: how likely a text is, is neither right nor wrong."""
        return np.zeros(len(evidence), dtype=np.bool_)


CAUSAL_LM = CausalLm()
